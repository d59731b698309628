//! From words to flags and arguments, by the rules of Docker's parser: `-it`, `-p80`, `--flag=value`, `--switch=false`,
//! `--` ends the flags, and for some commands the first argument does, too. The texts of faults are Docker's.

use super::{Flag, FlagInfo, Info, Set, values};

/// The result of reading a command line.
#[derive(Debug, Default)]
pub struct Parsed<T> {
    /// The flags.
    pub flags: T,
    /// The rest.
    pub arguments: Vec<String>,
    /// Flags that were used though the engine cannot do them yet.
    pub unsupported: Vec<&'static str>,
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `--help`.
    Help,
    /// A wrong flag.
    Flag(String),
    /// A wrong number of arguments.
    Count(String),
}

/// Reads the words after a command's name.
pub fn parse<T: Default>(info: &Info, tables: &[&'static [Flag<T>]], words: &[String]) -> Result<Parsed<T>, Fault> {
    let mut parsed = Parsed { flags: T::default(), arguments: Vec::new(), unsupported: Vec::new() };
    let mut sink = Sink { tables, parsed: &mut parsed };
    scan(&mut sink, info.flags_first, words)?;
    info.check_count(parsed.arguments.len()).map_err(Fault::Count)?;
    Ok(parsed)
}

/// Reads flags up to the first argument; gives how many words were read.
pub fn parse_leading<T>(tables: &[&'static [Flag<T>]], flags: T, words: &[String]) -> Result<(T, usize), Fault> {
    let mut parsed = Parsed { flags, arguments: Vec::new(), unsupported: Vec::new() };
    let mut sink = Sink { tables, parsed: &mut parsed };
    scan(&mut sink, true, words)?;
    if let Some(name) = parsed.unsupported.first() {
        return Err(Fault::Flag(format!("--{name} is not supported yet")));
    }
    Ok((parsed.flags, words.len() - parsed.arguments.len()))
}

/// Where a scan finds flags and delivers what it read; hides the type of the flags from the scanner.
trait Target {
    fn find(&self, wanted: &dyn Fn(&FlagInfo) -> bool) -> Option<(usize, FlagInfo)>;
    fn switch(&mut self, index: usize, on: bool);
    fn value(&mut self, index: usize, text: &str) -> Result<(), String>;
    fn argument(&mut self, text: &str);
}

struct Sink<'a, T: 'static> {
    tables: &'a [&'static [Flag<T>]],
    parsed: &'a mut Parsed<T>,
}

impl<T> Sink<'_, T> {
    fn flags(&self) -> impl Iterator<Item = &'static Flag<T>> {
        self.tables.iter().flat_map(|table| table.iter())
    }
}

impl<T> Target for Sink<'_, T> {
    fn find(&self, wanted: &dyn Fn(&FlagInfo) -> bool) -> Option<(usize, FlagInfo)> {
        let found = self.flags().enumerate().find(|(_, flag)| wanted(&flag.info));
        found.map(|(index, flag)| (index, flag.info))
    }

    fn switch(&mut self, index: usize, on: bool) {
        let Some(flag) = self.flags().nth(index) else { return };
        if let Set::Switch(set) = flag.set {
            set(&mut self.parsed.flags, on);
        }
        if flag.info.not_yet {
            self.parsed.unsupported.push(flag.info.long);
        }
    }

    fn value(&mut self, index: usize, text: &str) -> Result<(), String> {
        let Some(flag) = self.flags().nth(index) else { return Ok(()) };
        if let Set::Value(set) = flag.set {
            set(&mut self.parsed.flags, text)?;
        }
        if flag.info.not_yet {
            self.parsed.unsupported.push(flag.info.long);
        }
        Ok(())
    }

    fn argument(&mut self, text: &str) {
        self.parsed.arguments.push(text.to_owned());
    }
}

fn scan(target: &mut dyn Target, flags_first: bool, words: &[String]) -> Result<(), Fault> {
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match word.strip_prefix("--") {
            Some("") => {
                rest.by_ref().for_each(|word| target.argument(word));
            }
            Some(long) => read_long(target, long, &mut rest)?,
            None if word.len() > 1 && word.starts_with('-') => read_short(target, &word[1..], &mut rest)?,
            None => {
                target.argument(word);
                if flags_first {
                    rest.by_ref().for_each(|word| target.argument(word));
                }
            }
        }
    }
    Ok(())
}

type Words<'a> = std::slice::Iter<'a, String>;

fn read_long(target: &mut dyn Target, text: &str, rest: &mut Words) -> Result<(), Fault> {
    let (name, given) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    if name.is_empty() || name.starts_with('-') {
        return Err(Fault::Flag(format!("bad flag syntax: --{text}")));
    }
    let Some((index, info)) = target.find(&|flag| flag.long == name) else {
        return Err(if name == "help" { Fault::Help } else { Fault::Flag(format!("unknown flag: --{name}")) });
    };
    if info.value.is_empty() {
        return apply_switch(target, index, &info, given.unwrap_or("true"));
    }
    let value = given.or_else(|| rest.next().map(String::as_str));
    let value = value.ok_or_else(|| Fault::Flag(format!("flag needs an argument: --{name}")))?;
    apply_value(target, index, &info, value)
}

fn read_short(target: &mut dyn Target, mut cluster: &str, rest: &mut Words) -> Result<(), Fault> {
    while let Some(letter) = cluster.chars().next() {
        let after = &cluster[letter.len_utf8()..];
        let Some((index, info)) = target.find(&|flag| flag.short == Some(letter)) else {
            let message = format!("unknown shorthand flag: '{letter}' in -{cluster}");
            return Err(if letter == 'h' { Fault::Help } else { Fault::Flag(message) });
        };
        let given = after.strip_prefix('=');
        if info.value.is_empty() {
            apply_switch(target, index, &info, given.unwrap_or("true"))?;
            cluster = if given.is_some() { "" } else { after };
            continue;
        }
        let inline = given.or(Some(after).filter(|text| !text.is_empty()));
        let value = inline.or_else(|| rest.next().map(String::as_str));
        let missing = || Fault::Flag(format!("flag needs an argument: '{letter}' in -{cluster}"));
        return apply_value(target, index, &info, value.ok_or_else(missing)?);
    }
    Ok(())
}

fn apply_switch(target: &mut dyn Target, index: usize, info: &FlagInfo, text: &str) -> Result<(), Fault> {
    let on = values::boolean(text).map_err(|reason| invalid(info, text, &reason))?;
    target.switch(index, on);
    Ok(())
}

fn apply_value(target: &mut dyn Target, index: usize, info: &FlagInfo, text: &str) -> Result<(), Fault> {
    target.value(index, text).map_err(|reason| invalid(info, text, &reason))
}

fn invalid(info: &FlagInfo, text: &str, reason: &str) -> Fault {
    Fault::Flag(format!("invalid argument {text:?} for \"{}\" flag: {reason}", info.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use values::{int, push, put};

    #[derive(Debug, Default, PartialEq)]
    struct Sample {
        tty: bool,
        open: bool,
        name: Option<String>,
        list: Vec<String>,
        count: i64,
    }

    const FLAGS: &[Flag<Sample>] = &[
        Flag::<Sample>::switch("tty", "", |a, on| a.tty = on).short('t'),
        Flag::<Sample>::switch("interactive", "", |a, on| a.open = on).short('i'),
        Flag::<Sample>::value("name", "string", "", |a, v| put(&mut a.name, v)),
        Flag::<Sample>::value("env", "list", "", |a, v| push(&mut a.list, v)).short('e'),
        Flag::<Sample>::value("count", "int", "", |a, v| int(v).map(|n| a.count = n)).short('c'),
        Flag::<Sample>::unsupported("gpus", "string", ""),
    ];

    fn read(line: &str, flags_first: bool) -> Result<Parsed<Sample>, Fault> {
        let mut info = Info::new(&["x"], "", "").arguments(0, super::super::ANY);
        info.flags_first = flags_first;
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&info, &[FLAGS], &words)
    }

    #[test]
    fn clusters_and_values() {
        for line in ["-it -e a -eb -e=c --name=n", "-i -t --env a --env=b --env c --name n"] {
            let got = read(line, true).unwrap().flags;
            assert!(got.tty && got.open, "{line}");
            assert_eq!(got.list, ["a", "b", "c"]);
            assert_eq!(got.name.as_deref(), Some("n"));
        }
    }

    #[test]
    fn switches_take_values_only_after_equals() {
        assert!(!read("--tty=false", true).unwrap().flags.tty);
        assert!(!read("-t -t=0", true).unwrap().flags.tty);
        let got = read("-t false", true).unwrap();
        assert!(got.flags.tty && got.arguments == ["false"]);
    }

    #[test]
    fn where_flags_end() {
        assert_eq!(read("a -t", true).unwrap().arguments, ["a", "-t"]);
        let mixed = read("a -t b", false).unwrap();
        assert!(mixed.flags.tty && mixed.arguments == ["a", "b"]);
        assert_eq!(read("a -- -t", false).unwrap().arguments, ["a", "-t"]);
        assert_eq!(read("-", false).unwrap().arguments, ["-"]);
    }

    #[test]
    fn unsupported_flags_are_read_with_their_value() {
        let got = read("--gpus all image", true).unwrap();
        assert_eq!((got.unsupported, got.arguments), (vec!["gpus"], vec!["image".to_owned()]));
    }

    #[test]
    fn faults() {
        for (line, message) in [
            ("--nosuchflag", "unknown flag: --nosuchflag"),
            ("-z", "unknown shorthand flag: 'z' in -z"),
            ("-tzq", "unknown shorthand flag: 'z' in -zq"),
            ("--name", "flag needs an argument: --name"),
            ("-te", "flag needs an argument: 'e' in -e"),
            (
                "--tty=maybe",
                "invalid argument \"maybe\" for \"-t, --tty\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax",
            ),
            (
                "-c x",
                "invalid argument \"x\" for \"-c, --count\" flag: strconv.ParseInt: parsing \"x\": invalid syntax",
            ),
            ("--=x", "bad flag syntax: --=x"),
            ("---x", "bad flag syntax: ---x"),
        ] {
            assert_eq!(read(line, true).unwrap_err(), Fault::Flag(message.to_owned()), "{line}");
        }
        assert_eq!(read("--help", true).unwrap_err(), Fault::Help);
        assert_eq!(read("-h", true).unwrap_err(), Fault::Help);
    }

    #[test]
    fn counts() {
        for (min, max, count, message) in [
            (0, 0, 1, "accepts no arguments"),
            (1, 1, 0, "requires 1 argument"),
            (2, 2, 0, "requires 2 arguments"),
            (1, usize::MAX, 0, "requires at least 1 argument"),
            (0, 1, 2, "requires at most 1 argument"),
            (1, 2, 3, "requires at least 1 and at most 2 arguments"),
        ] {
            let info = Info::new(&["x"], "", "").arguments(min, max);
            assert_eq!(info.check_count(count).unwrap_err(), message);
        }
    }
}
