//! What init tells its parent: a fixed-size message, made without allocating.

use gantry_sys::Errno;

/// The size of every message; well below `PIPE_BUF`, so a write is never torn.
pub(crate) const MESSAGE_SIZE: usize = 256;
const HEADER: usize = 9;
/// The longest text a message carries.
pub(crate) const DETAIL_SIZE: usize = MESSAGE_SIZE - HEADER;

/// What an error is recognised by when a file system cannot map owners.
pub(crate) const MAP_OWNERS: &str = "map the owners of files in";

/// What was being done when it failed. The order is the wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Act {
    Open,
    CreateDirectory,
    CreateFile,
    CreateNode,
    CreateLink,
    OpenFileSystem,
    SetOption,
    SetLowerDir,
    CreateSuperblock,
    MakeMount,
    ClassicMount,
    CloneMount,
    SetAttributes,
    Attach,
    Pivot,
    Detach,
    Join,
    Unshare,
    Write,
    Set,
    Clamp,
    ChangeOwner,
    StartSession,
    TakeTerminal,
    Duplicate,
    ChangeDirectory,
    DropBounding,
    SetGroups,
    SetGid,
    SetUid,
    SetCapabilities,
    RaiseAmbient,
    Install,
    Close,
    NoUser,
    NoGroup,
    IdOutOfRange,
    Label,
    ProgramStat,
    ProgramNotInPath,
    ProgramDirectory,
    ProgramNoExecuteBit,
    ProgramNotPermitted,
    ProgramNoInterpreter,
    ProgramCarriageReturn,
    ProgramWrongMachine,
    ProgramNotAProgram,
    ProgramExec,
    Read,
    Hook,
    HookFailed,
    MapUser,
    Terminal,
    CopyUp,
    CwdOutside,
    MapOwners,
    Clone,
    Stay,
}

impl Act {
    const ALL: [Act; 58] = [
        Act::Open,
        Act::CreateDirectory,
        Act::CreateFile,
        Act::CreateNode,
        Act::CreateLink,
        Act::OpenFileSystem,
        Act::SetOption,
        Act::SetLowerDir,
        Act::CreateSuperblock,
        Act::MakeMount,
        Act::ClassicMount,
        Act::CloneMount,
        Act::SetAttributes,
        Act::Attach,
        Act::Pivot,
        Act::Detach,
        Act::Join,
        Act::Unshare,
        Act::Write,
        Act::Set,
        Act::Clamp,
        Act::ChangeOwner,
        Act::StartSession,
        Act::TakeTerminal,
        Act::Duplicate,
        Act::ChangeDirectory,
        Act::DropBounding,
        Act::SetGroups,
        Act::SetGid,
        Act::SetUid,
        Act::SetCapabilities,
        Act::RaiseAmbient,
        Act::Install,
        Act::Close,
        Act::NoUser,
        Act::NoGroup,
        Act::IdOutOfRange,
        Act::Label,
        Act::ProgramStat,
        Act::ProgramNotInPath,
        Act::ProgramDirectory,
        Act::ProgramNoExecuteBit,
        Act::ProgramNotPermitted,
        Act::ProgramNoInterpreter,
        Act::ProgramCarriageReturn,
        Act::ProgramWrongMachine,
        Act::ProgramNotAProgram,
        Act::ProgramExec,
        Act::Read,
        Act::Hook,
        Act::HookFailed,
        Act::MapUser,
        Act::Terminal,
        Act::CopyUp,
        Act::CwdOutside,
        Act::MapOwners,
        Act::Clone,
        Act::Stay,
    ];

    fn decode(byte: u8) -> Option<Act> {
        Act::ALL.get(usize::from(byte)).copied()
    }

    /// The words an error message uses.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Act::Open => "open",
            Act::CreateDirectory => "create directory",
            Act::CreateFile => "create file",
            Act::CreateNode => "create device node",
            Act::CreateLink => "create symlink",
            Act::OpenFileSystem => "open file system type",
            Act::SetOption => "set mount option",
            Act::SetLowerDir => "add lower layer (lowerdir+)",
            Act::CreateSuperblock => "make file system",
            Act::MakeMount => "make mount",
            Act::ClassicMount => "mount(2)",
            Act::CloneMount => "open source",
            Act::SetAttributes => "set mount attributes",
            Act::Attach => "attach mount",
            Act::Pivot => "pivot_root",
            Act::Detach => "detach the old root",
            Act::Join => "join",
            Act::Unshare => "unshare",
            Act::Write => "write",
            Act::Set => "set",
            Act::Clamp => "clamped to the hard limit",
            Act::ChangeOwner => "change owner",
            Act::StartSession => "start a session",
            Act::TakeTerminal => "take the controlling terminal",
            Act::Duplicate => "duplicate descriptor",
            Act::ChangeDirectory => "change directory",
            Act::DropBounding => "drop from the bounding set",
            Act::SetGroups => "set supplementary groups",
            Act::SetGid => "set group id",
            Act::SetUid => "set user id",
            Act::SetCapabilities => "set capabilities",
            Act::RaiseAmbient => "raise ambient capability",
            Act::Install => "install filter",
            Act::Close => "close descriptors",
            Act::Label => "set the label",
            Act::Read => "read",
            Act::Hook => "run hook",
            Act::HookFailed => "hook failed:",
            Act::MapUser => "wait for the user namespace's maps",
            Act::Terminal => "make the terminal",
            Act::CopyUp => "copy what lies below",
            Act::MapOwners => MAP_OWNERS,
            Act::Clone => "make the process",
            Act::Stay => "stay in its cgroup",
            Act::CwdOutside => "it lies outside of the container's root",
            _ => "start the program",
        }
    }
}

/// A short text in place, cut where it does not fit.
#[derive(Clone, Copy)]
pub(crate) struct Detail {
    bytes: [u8; DETAIL_SIZE],
    length: u8,
}

impl Detail {
    pub(crate) const EMPTY: Detail = Detail { bytes: [0; DETAIL_SIZE], length: 0 };

    pub(crate) fn new(text: &[u8]) -> Detail {
        let mut detail = Detail::EMPTY;
        let length = text.len().min(DETAIL_SIZE);
        detail.bytes[..length].copy_from_slice(&text[..length]);
        detail.length = length as u8;
        detail
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// A failed act inside a step.
#[derive(Clone, Copy)]
pub(crate) struct Fault {
    pub act: Act,
    pub errno: Errno,
    pub detail: Detail,
}

impl Fault {
    pub(crate) fn new(act: Act, errno: Errno) -> Fault {
        Fault { act, errno, detail: Detail::EMPTY }
    }

    pub(crate) fn about(act: Act, errno: Errno, text: &[u8]) -> Fault {
        Fault { act, errno, detail: Detail::new(text) }
    }
}

/// Says what was attempted when a call failed.
pub(crate) trait During<T> {
    fn during(self, act: Act) -> Result<T, Fault>;
    fn about(self, act: Act, text: &[u8]) -> Result<T, Fault>;
}

impl<T> During<T> for Result<T, Errno> {
    fn during(self, act: Act) -> Result<T, Fault> {
        self.map_err(|errno| Fault::new(act, errno))
    }

    fn about(self, act: Act, text: &[u8]) -> Result<T, Fault> {
        self.map_err(|errno| Fault::about(act, errno, text))
    }
}

/// One message from init.
pub(crate) enum Message {
    Warning {
        step: u16,
        fault: Fault,
    },
    Failed {
        step: u16,
        fault: Fault,
    },
    /// All steps are done; init waits at the gate.
    Ready,
    /// Namespaces and mounts are made, hooks may be run; init waits to be told its number.
    Hooks,
}

impl Message {
    pub(crate) fn encode(&self) -> [u8; MESSAGE_SIZE] {
        let mut bytes = [0; MESSAGE_SIZE];
        let (tag, body) = match self {
            Message::Warning { step, fault } => (1, Some((step, fault))),
            Message::Failed { step, fault } => (2, Some((step, fault))),
            Message::Ready => (3, None),
            Message::Hooks => (4, None),
        };
        bytes[0] = tag;
        if let Some((step, fault)) = body {
            bytes[1] = fault.act as u8;
            bytes[2..4].copy_from_slice(&step.to_ne_bytes());
            bytes[4..8].copy_from_slice(&(fault.errno as i32).to_ne_bytes());
            bytes[8] = fault.detail.length;
            bytes[HEADER..].copy_from_slice(&fault.detail.bytes);
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; MESSAGE_SIZE]) -> Option<Message> {
        let step = u16::from_ne_bytes([bytes[2], bytes[3]]);
        let errno = i32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        let text = bytes.get(HEADER..HEADER + usize::from(bytes[8]))?;
        let fault = Fault::about(Act::decode(bytes[1])?, Errno::from_raw(errno), text);
        match bytes[0] {
            1 => Some(Message::Warning { step, fault }),
            2 => Some(Message::Failed { step, fault }),
            3 => Some(Message::Ready),
            4 => Some(Message::Hooks),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_are_numbered_in_the_order_of_the_table() {
        for (index, act) in Act::ALL.iter().enumerate() {
            assert_eq!(*act as usize, index);
        }
    }

    #[test]
    fn a_fault_survives_the_pipe() {
        let fault = Fault::about(Act::Attach, Errno::ENOENT, b"/data");
        let bytes = Message::Failed { step: 513, fault }.encode();
        let Some(Message::Failed { step, fault }) = Message::decode(&bytes) else { panic!("not a failure") };
        assert_eq!((step, fault.act, fault.errno), (513, Act::Attach, Errno::ENOENT));
        assert_eq!(fault.detail.as_bytes(), b"/data");
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Message::decode(&[255; MESSAGE_SIZE]).is_none());
        assert!(Message::decode(&[0; MESSAGE_SIZE]).is_none());
    }
}
