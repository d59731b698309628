//! What `--security-opt label=…` asks for, and the labels that come of it.

use super::context::Context;
use super::policy::Policy;
use crate::error::{Error, Result};

/// The level of files of containers that are not confined themselves: no confined one has it.
const UNCONFINED: &str = "s0:c1022,c1023";

/// Parts that are to differ from the policy's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    disabled: bool,
    user: Option<String>,
    role: Option<String>,
    kind: Option<String>,
    level: Option<String>,
    file_kind: Option<String>,
}

impl Wanted {
    pub fn parse<'a>(options: impl Iterator<Item = &'a str>) -> Result<Wanted> {
        let mut wanted = Wanted::default();
        for option in options {
            match option {
                "disable" => wanted.disabled = true,
                "nested" => {}
                option => wanted.set(option)?,
            }
        }
        Ok(wanted)
    }

    fn set(&mut self, option: &str) -> Result<()> {
        let bad = || Error::invalid(format!("invalid --security-opt 2: \"label={option}\""));
        let (part, value) = option.split_once(':').filter(|(_, value)| !value.is_empty()).ok_or_else(bad)?;
        let place = match part {
            "user" => &mut self.user,
            "role" => &mut self.role,
            "type" => &mut self.kind,
            "level" => &mut self.level,
            "filetype" => &mut self.file_kind,
            _ => return Err(bad()),
        };
        *place = Some(value.to_owned());
        Ok(())
    }

    /// The same as another container's processes.
    pub fn like(context: Context) -> Wanted {
        let Context { user, role, kind, level } = context;
        let level = Some(level).filter(|level| !level.is_empty());
        Wanted { user: Some(user), role: Some(role), kind: Some(kind), level, ..Wanted::default() }
    }

    pub fn is_disabled(&self) -> bool {
        self.disabled
    }

    /// The level that was asked for.
    pub fn level(&self) -> Option<&str> {
        self.level.as_deref()
    }

    /// The labels of processes and of files. A container that is not confined has processes like the engine's own.
    pub fn labels(&self, policy: &Policy, level: &str) -> (String, String) {
        if self.disabled {
            return (String::new(), policy.file.at(UNCONFINED).to_string());
        }
        let (mut process, mut file) = (policy.process.at(level), policy.file.at(level));
        let change = |part: &mut String, wanted: &Option<String>| {
            if let Some(wanted) = wanted {
                wanted.clone_into(part);
            }
        };
        change(&mut process.user, &self.user);
        change(&mut process.role, &self.role);
        change(&mut process.kind, &self.kind);
        change(&mut process.level, &self.level);
        change(&mut file.user, &self.user);
        change(&mut file.kind, &self.file_kind);
        change(&mut file.level, &self.level);
        (process.to_string(), file.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(options: &[&str]) -> (String, String) {
        let context = |text: &str| Context::parse(text).unwrap();
        let policy = Policy {
            process: context("system_u:system_r:container_t:s0"),
            file: context("system_u:object_r:container_file_t:s0"),
        };
        Wanted::parse(options.iter().copied()).unwrap().labels(&policy, "s0:c3,c9")
    }

    #[test]
    fn options_change_their_parts() {
        let cases: [(&[&str], &str, &str); 7] = [
            (&[], "system_u:system_r:container_t:s0:c3,c9", "system_u:object_r:container_file_t:s0:c3,c9"),
            (&["type:mine_t"], "system_u:system_r:mine_t:s0:c3,c9", "system_u:object_r:container_file_t:s0:c3,c9"),
            (
                &["level:s0:c1,c2"],
                "system_u:system_r:container_t:s0:c1,c2",
                "system_u:object_r:container_file_t:s0:c1,c2",
            ),
            (&["user:me_u", "role:me_r"], "me_u:me_r:container_t:s0:c3,c9", "me_u:object_r:container_file_t:s0:c3,c9"),
            (&["filetype:mine_t"], "system_u:system_r:container_t:s0:c3,c9", "system_u:object_r:mine_t:s0:c3,c9"),
            (&["nested"], "system_u:system_r:container_t:s0:c3,c9", "system_u:object_r:container_file_t:s0:c3,c9"),
            (&["type:x_t", "disable"], "", "system_u:object_r:container_file_t:s0:c1022,c1023"),
        ];
        for (options, process, file) in cases {
            assert_eq!(labels(options), (process.to_owned(), file.to_owned()), "{options:?}");
        }
    }

    #[test]
    fn a_container_can_be_like_another() {
        let other = Context::parse("system_u:system_r:mine_t:s0:c1,c2").unwrap();
        let wanted = Wanted::like(other);
        assert_eq!(wanted.level(), Some("s0:c1,c2"));
        assert!(!wanted.is_disabled());
    }

    #[test]
    fn what_is_no_option() {
        for option in ["", "what", "type", "type:", "colour:red", "disabled"] {
            assert!(Wanted::parse([option].into_iter()).is_err(), "{option}");
        }
    }
}
