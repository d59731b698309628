//! A context: `user:role:type:level`; the level holds colons itself, and policies without levels leave it out.

use std::fmt;

/// One label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Context {
    pub user: String,
    pub role: String,
    pub kind: String,
    pub level: String,
}

impl Context {
    pub fn parse(text: &str) -> Option<Context> {
        let mut parts = text.splitn(4, ':').map(str::to_owned);
        let (user, role, kind) = (parts.next()?, parts.next()?, parts.next()?);
        let level = parts.next().unwrap_or_default();
        let whole = ![&user, &role, &kind].iter().any(|part| part.is_empty());
        whole.then_some(Context { user, role, kind, level })
    }

    /// The same at another level, if it has one at all.
    pub fn at(&self, level: &str) -> Context {
        let level = if self.level.is_empty() || level.is_empty() { &self.level } else { level };
        Context { level: level.to_owned(), ..self.clone() }
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Context { user, role, kind, level } = self;
        write!(f, "{user}:{role}:{kind}")?;
        if level.is_empty() { Ok(()) } else { write!(f, ":{level}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_hold_colons() {
        let text = "system_u:system_r:container_t:s0:c1,c2";
        let context = Context::parse(text).unwrap();
        assert_eq!((context.kind.as_str(), context.level.as_str()), ("container_t", "s0:c1,c2"));
        assert_eq!(context.to_string(), text);
        assert_eq!(context.at("s0:c7,c9").to_string(), "system_u:system_r:container_t:s0:c7,c9");
    }

    #[test]
    fn policies_without_levels_get_none() {
        let context = Context::parse("u:r:t").unwrap();
        assert_eq!(context.at("s0:c1,c2").to_string(), "u:r:t");
    }

    #[test]
    fn what_is_no_context() {
        for text in ["", "u", "u:r", "u::t", ":r:t:s0"] {
            assert_eq!(Context::parse(text), None, "{text}");
        }
    }
}
