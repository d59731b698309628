//! The beginning of a message: priority, time, host, tag. All records of a second share it, but for the microseconds,
//! so it is made once a second and severity.

use crate::clock::{self, Civil};
use crate::options::{Format, Settings};
use gantry_plugin_api::log::{LogContainer, Stream};
use std::collections::BTreeMap;
use std::io::Write as _;
use syslog::{Formatter5424, Severity};

const SECOND: u64 = 1_000_000_000;
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// Bytes of `<30>1 2006-01-02T15:04:05.` before the fraction, less those of the priority's number.
const BEFORE_FRACTION: usize = "<>1 2006-01-02T15:04:05.".len();
/// What RFC 5424 allows.
const LONGEST_HOST: usize = 255;
const LONGEST_APP_NAME: usize = 48;
const LONGEST_MESSAGE_ID: usize = 32;
const LONGEST_PARAMETER_NAME: usize = 32;
/// Other formats have no limit that servers hold to; many tags name image and container.
const LONGEST_TAG: usize = 255;

/// Who speaks: what goes into every head.
struct Speaker {
    facility: u8,
    format: Format,
    host: String,
    tag: String,
    message_id: String,
    structured_data: String,
    pid: u32,
}

/// Makes heads.
pub struct Heads {
    speaker: Speaker,
    second: u64,
    info: Head,
    error: Head,
    warning: Head,
}

#[derive(Default)]
struct Head {
    text: Vec<u8>,
    /// Where the microseconds are; 0: nowhere.
    fraction: usize,
    micros: u32,
}

impl Heads {
    /// Heads for the messages of a container.
    pub fn new(container: &LogContainer, settings: &Settings) -> Heads {
        let id = || container.id.get(..12).unwrap_or(&container.id);
        let tag = if container.tag.is_empty() { id() } else { &container.tag };
        let longest = if settings.format.is_5424() { LONGEST_APP_NAME } else { LONGEST_TAG };
        let structured_data = if settings.structured_data { structured_data(container) } else { "-".to_owned() };
        let speaker = Speaker {
            facility: settings.facility,
            format: settings.format,
            host: word(&container.hostname, LONGEST_HOST),
            tag: word(tag, longest),
            message_id: word(tag, LONGEST_MESSAGE_ID),
            structured_data,
            pid: std::process::id(),
        };
        Heads { speaker, second: u64::MAX, info: Head::default(), error: Head::default(), warning: Head::default() }
    }

    /// The head of a record's message.
    #[inline]
    pub fn of(&mut self, stream: Stream, timestamp_ns: u64) -> &[u8] {
        self.set_second(timestamp_ns / SECOND);
        let head = if stream == Stream::STDERR { &mut self.error } else { &mut self.info };
        head.at((timestamp_ns % SECOND / 1000) as u32)
    }

    /// The head of a message of our own.
    pub fn of_warning(&mut self, timestamp_ns: u64) -> &[u8] {
        self.set_second(timestamp_ns / SECOND);
        self.warning.at((timestamp_ns % SECOND / 1000) as u32)
    }

    #[inline]
    fn set_second(&mut self, second: u64) {
        if second != self.second {
            self.second = second;
            let time = clock::local(second);
            self.info = self.speaker.head(Severity::LOG_INFO, &time);
            self.error = self.speaker.head(Severity::LOG_ERR, &time);
            self.warning = self.speaker.head(Severity::LOG_WARNING, &time);
        }
    }
}

impl Head {
    #[inline]
    fn at(&mut self, micros: u32) -> &[u8] {
        if self.fraction > 0 && self.micros != micros {
            self.micros = micros;
            let mut rest = micros;
            for digit in self.text[self.fraction..self.fraction + 6].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
        &self.text
    }
}

impl Speaker {
    fn head(&self, severity: Severity, time: &Civil) -> Head {
        let priority = (self.facility | severity as u8).to_string();
        let (tag, pid, host) = (&self.tag, self.pid, &self.host);
        let mut text = Vec::with_capacity(128);
        let _ = match self.format {
            Format::Local => write!(text, "<{priority}>{} {tag}[{pid}]: ", short(time)),
            Format::Rfc3164 => write!(text, "<{priority}>{} {host} {tag}[{pid}]: ", short(time)),
            Format::Rfc5424 => write!(text, "<{priority}>1 {} {}", long(time, ""), self.after_time()),
            Format::Rfc5424Micro => write!(text, "<{priority}>1 {} {}", long(time, ".000000"), self.after_time()),
        };
        let fraction = if self.format == Format::Rfc5424Micro { priority.len() + BEFORE_FRACTION } else { 0 };
        Head { text, fraction, micros: 0 }
    }

    fn after_time(&self) -> String {
        let Speaker { host, tag, pid, message_id, structured_data, .. } = self;
        format!("{host} {tag} {pid} {message_id} {structured_data} ")
    }
}

/// `Jan  2 15:04:05`.
fn short(time: &Civil) -> String {
    let month = MONTHS[time.month];
    format!("{month} {:>2} {:02}:{:02}:{:02}", time.day, time.hour, time.minute, time.second)
}

/// `2006-01-02T15:04:05+01:00`, or with `Z`.
fn long(time: &Civil, fraction: &str) -> String {
    let Civil { year, month, day, hour, minute, second, east } = *time;
    let zone = match east {
        0 => "Z".to_owned(),
        _ => format!("{}{:02}:{:02}", if east < 0 { '-' } else { '+' }, east.abs() / 60, east.abs() % 60),
    };
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}", month + 1)
}

/// One word of printable ASCII; `-`, which stands for nothing, when it is empty.
fn word(text: &str, longest: usize) -> String {
    let plain = |c: char| if c.is_ascii_graphic() { c } else { '_' };
    let word: String = text.chars().map(plain).take(longest).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

/// The container, and the attributes the user asked for, which cannot take its fields' places.
fn structured_data(container: &LogContainer) -> String {
    let attributes = container.attributes.iter().map(|(name, value)| (parameter_name(name), value));
    let mut parameters: BTreeMap<String, String> = attributes.map(|(name, value)| (name, visible(value))).collect();
    for (name, value) in [("id", &container.id), ("name", &container.name), ("image", &container.image_name)] {
        parameters.insert(name.to_owned(), visible(value));
    }
    let speaker =
        Formatter5424 { facility: syslog::Facility::LOG_DAEMON, hostname: None, process: String::new(), pid: 0 };
    speaker.format_5424_structured_data(BTreeMap::from([("container@0".to_owned(), parameters)]))
}

/// Values may hold anything, but a line feed would end the message on a stream.
fn visible(value: &str) -> String {
    value.replace(['\n', '\0'], " ")
}

fn parameter_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() && !"=]\"".contains(c) { c } else { '_' };
    name.chars().map(plain).take(LONGEST_PARAMETER_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_plugin_api::options::Options;

    /// 29 February 2024, or the days beside it.
    const NS: u64 = 1_709_210_096 * SECOND + 7_008_009;

    fn container() -> LogContainer {
        LogContainer { id: "0123456789abcdef".repeat(4), hostname: "host".into(), ..LogContainer::default() }
    }

    fn head(container: &LogContainer, options: &[(&str, &str)], stream: Stream) -> String {
        let settings = Settings::parse(&Options::from_pairs(options.iter().copied())).unwrap();
        String::from_utf8(Heads::new(container, &settings).of(stream, NS).to_vec()).unwrap()
    }

    fn format(name: &str, stream: Stream) -> String {
        head(&container(), &[("syslog-format", name)], stream)
    }

    #[test]
    fn the_four_formats() {
        let time = clock::local(NS / SECOND);
        let (pid, bsd) = (std::process::id(), short(&time));
        assert_eq!(format("", Stream::STDOUT), format!("<30>{bsd} 0123456789ab[{pid}]: "));
        assert_eq!(format("rfc3164", Stream::STDERR), format!("<27>{bsd} host 0123456789ab[{pid}]: "));
        let (plain, micro) = (long(&time, ""), long(&time, ".007008"));
        let tail = format!("host 0123456789ab {pid} 0123456789ab - ");
        assert_eq!(format("rfc5424", Stream::STDOUT), format!("<30>1 {plain} {tail}"));
        assert_eq!(format("rfc5424micro", Stream::STDERR), format!("<27>1 {micro} {tail}"));
    }

    #[test]
    fn times_are_written_as_go_writes_them() {
        let mut time = Civil { year: 2024, month: 1, day: 3, hour: 4, minute: 5, second: 6, east: 0 };
        assert_eq!((short(&time), long(&time, "")), ("Feb  3 04:05:06".into(), "2024-02-03T04:05:06Z".into()));
        time.east = 120;
        assert_eq!(long(&time, ".5"), "2024-02-03T04:05:06.5+02:00");
        time.east = -570;
        assert_eq!(long(&time, ""), "2024-02-03T04:05:06-09:30");
    }

    #[test]
    fn microseconds_change_without_the_rest() {
        let settings = Settings::parse(&Options::from_pairs([("syslog-format", "rfc5424micro")])).unwrap();
        let mut heads = Heads::new(&container(), &settings);
        for (ns, want) in [(NS, ".007008"), (NS + 1, ".007008"), (NS + 999, ".007009"), (NS + 990_000_000, ".997008")] {
            let text = String::from_utf8(heads.of(Stream::STDOUT, ns).to_vec()).unwrap();
            assert!(text.contains(want), "{text}");
        }
    }

    #[test]
    fn tags_are_words() {
        let tagged = |tag: &str, name: &str| {
            head(&LogContainer { tag: tag.into(), ..container() }, &[("syslog-format", name)], Stream::STDOUT)
        };
        assert!(tagged("web/one two\tü", "").contains(" web/one_two__["));
        let long = "x".repeat(300);
        assert!(tagged(&long, "rfc3164").contains(&format!(" {}[", "x".repeat(255))));
        let of_5424 = tagged(&long, "rfc5424");
        let words: Vec<usize> = of_5424.split(' ').map(str::len).collect();
        assert_eq!((words[3], words[5]), (48, 32));
    }

    #[test]
    fn a_host_without_name_is_a_dash() {
        let bare = LogContainer { hostname: String::new(), ..container() };
        assert!(head(&bare, &[("syslog-format", "rfc5424")], Stream::STDOUT).contains(" - 0123456789ab "));
    }

    #[test]
    fn structured_data_on_demand() {
        let attributes =
            vec![("app".into(), "a\"b]c\\d\ne".into()), ("id".into(), "no".into()), ("a=b c".into(), "1".into())];
        let container = LogContainer { name: "web".into(), image_name: "img:1".into(), attributes, ..container() };
        let text =
            head(&container, &[("syslog-format", "rfc5424"), ("syslog-structured-data", "true")], Stream::STDOUT);
        let id = &container.id;
        let want =
            format!("[container@0 a_b_c=\"1\" app=\"a\\\"b\\]c\\\\d e\" id=\"{id}\" image=\"img:1\" name=\"web\"] ");
        assert!(text.ends_with(&want), "{text}");
    }

    #[test]
    fn the_facility_is_part_of_the_priority() {
        assert!(head(&container(), &[("syslog-facility", "local7")], Stream::STDERR).starts_with("<187>"));
        assert!(head(&container(), &[("syslog-facility", "kern")], Stream::STDOUT).starts_with("<6>"));
    }
}
