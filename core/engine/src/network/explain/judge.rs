//! What the firewall does to one new connection: the rules are walked as the kernel does, as far as interface, address,
//! port, protocol and state of the connection decide. A condition on anything else is neither true nor false; a rule
//! whose condition is open and whose effect would matter is named, and the answer is that it cannot be judged.

use super::ruleset::{Chain, Element, INET, IPV4, IPV6, Place, Rule, Ruleset, Set, family_name};
use gantry_sys::netlink::{find, find_be32, find_text};
use std::net::IpAddr;

const PREROUTING: u32 = 0;
const INPUT: u32 = 1;
const FORWARD: u32 = 2;
const OUTPUT: u32 = 3;
const POSTROUTING: u32 = 4;
/// How deep chains may call each other; the kernel's own limit is 16.
const DEEPEST: usize = 20;

/// The first packet of a connection.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Where it comes in.
    pub input: String,
    /// Where it goes out, when it does.
    pub output: Option<String>,
    /// Its sender; `None`: anybody.
    pub source: Option<IpAddr>,
    /// Its destination, before and after translation.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// The port it is for.
    pub port: Option<u16>,
    /// Some rule gave it another destination.
    pub translated: bool,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing is in its way.
    Passes,
    /// This rule stops it.
    Stopped(String),
    /// These rules look at something that is not known here.
    Open(Vec<String>),
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Truth {
    Yes,
    No,
    Open,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Accept,
    Drop,
    Jump(String),
    Goto(String),
    Return,
    Continue,
    /// To a program, which decides.
    Queue,
}

/// One byte of what a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Byte {
    Is(u8),
    Any,
    /// The first of a sender's address that comes from outside: the kernel lets no 127.0.0.0/8 in.
    NotLoopback,
}

impl Byte {
    fn known(self) -> Option<u8> {
        if let Byte::Is(value) = self { Some(value) } else { None }
    }

    fn excludes(self, value: u8) -> bool {
        match self {
            Byte::Is(own) => own != value,
            Byte::Any => false,
            Byte::NotLoopback => value == 127,
        }
    }
}

/// Registers byte by byte.
type Registers = [Byte; 64];

impl Packet {
    /// A new connection from anybody.
    pub fn new(input: &str, destination: IpAddr, protocol: u8, port: Option<u16>) -> Packet {
        let (input, output) = (input.to_owned(), None);
        Packet { input, output, source: None, destination, protocol, port, translated: false }
    }
}

/// Follows a packet in: translation first, then on to where it belongs. `route` says by which interface an address is
/// reached; `None`: it is the host's own.
pub fn judge(ruleset: &Ruleset, packet: &mut Packet, route: impl Fn(IpAddr) -> Option<String>) -> Fate {
    let mut doubts = Vec::new();
    let local = packet.input == "lo";
    if local {
        packet.source = Some(packet.destination);
    }
    let mut fate = walk(ruleset, if local { OUTPUT } else { PREROUTING }, packet, &mut doubts, &route);
    if fate.is_none() {
        packet.output = route(packet.destination);
        let hooks: &[u32] = match (packet.output.is_some(), local) {
            (true, false) => &[FORWARD, POSTROUTING],
            (true, true) => &[POSTROUTING],
            (false, _) => &[INPUT],
        };
        fate = hooks.iter().find_map(|hook| walk(ruleset, *hook, packet, &mut doubts, &route));
    }
    match fate {
        Some(rule) if doubts.is_empty() => Fate::Stopped(rule),
        Some(rule) => Fate::Open([doubts, vec![rule]].concat()),
        None if doubts.is_empty() => Fate::Passes,
        None => Fate::Open(doubts),
    }
}

/// The base chains of a hook in their order; answers the rule that stops the packet.
fn walk(
    ruleset: &Ruleset,
    hook: u32,
    packet: &mut Packet,
    doubts: &mut Vec<String>,
    route: &dyn Fn(IpAddr) -> Option<String>,
) -> Option<String> {
    let own = if packet.destination.is_ipv4() { IPV4 } else { IPV6 };
    let here = |(place, chain): &(&Place, &Chain)| {
        matches!(chain.hook, Some((h, _)) if h == hook) && (place.0 == own || place.0 == INET)
    };
    let mut bases: Vec<(&Place, &Chain)> = ruleset.chains.iter().filter(here).collect();
    bases.sort_by_key(|(place, chain)| (chain.hook.map(|(_, priority)| priority), (*place).clone()));
    bases.into_iter().filter(|(_, c)| hook != POSTROUTING || c.kind == "filter").find_map(|(place, chain)| {
        let mut walk = Walk { ruleset, place, packet, doubts, route, maybe: Vec::new() };
        let verdict = walk.chain(&place.2, 0);
        let (stops, rule) = match verdict {
            Some((Verdict::Drop | Verdict::Queue, rule)) => (true, rule),
            Some(_) => (false, String::new()),
            None => (chain.drops, format!("{} {} {}: policy drop", family_name(place.0), place.1, place.2)),
        };
        if !stops {
            return None;
        }
        // An earlier rule may let it pass, for all one knows.
        let maybe = std::mem::take(&mut walk.maybe);
        if !maybe.is_empty() {
            doubts.extend(maybe);
            doubts.push(rule);
            return None;
        }
        Some(rule)
    })
}

struct Walk<'a> {
    ruleset: &'a Ruleset,
    place: &'a Place,
    packet: &'a mut Packet,
    doubts: &'a mut Vec<String>,
    route: &'a dyn Fn(IpAddr) -> Option<String>,
    /// Rules that may accept.
    maybe: Vec<String>,
}

impl Walk<'_> {
    /// Decides, and by which rule; `None` when nobody does.
    fn chain(&mut self, name: &str, depth: usize) -> Option<(Verdict, String)> {
        let place = (self.place.0, self.place.1.clone(), name.to_owned());
        let chain = self.ruleset.chains.get(&place).filter(|_| depth < DEEPEST)?;
        for rule in &chain.rules {
            let (truth, verdict) = self.rule(rule);
            let text = described(&place, rule);
            match (truth, verdict) {
                (Truth::No, _) | (_, Verdict::Continue) => {}
                (Truth::Yes, Verdict::Return) => return None,
                (Truth::Yes, Verdict::Jump(to)) => {
                    if let Some(decided) = self.chain(&to, depth + 1) {
                        return Some(decided);
                    }
                }
                (Truth::Yes, Verdict::Goto(to)) => return self.chain(&to, depth + 1),
                (Truth::Yes, Verdict::Queue) => self.doubts.push(text),
                (Truth::Yes, verdict) => return Some((verdict, text)),
                (Truth::Open, Verdict::Accept | Verdict::Return) => self.maybe.push(text),
                (Truth::Open, Verdict::Jump(to) | Verdict::Goto(to)) => self.perhaps(&to, depth, text),
                (Truth::Open, _) => self.doubts.push(text),
            }
        }
        None
    }

    /// A chain that may be asked: what it would decide is a doubt.
    fn perhaps(&mut self, to: &str, depth: usize, text: String) {
        let destination = (self.packet.destination, self.packet.port, self.packet.translated);
        match self.chain(to, depth + 1) {
            Some((Verdict::Accept, _)) => self.maybe.push(text),
            Some(_) => self.doubts.push(text),
            None => {}
        }
        (self.packet.destination, self.packet.port, self.packet.translated) = destination;
    }

    fn rule(&mut self, rule: &Rule) -> (Truth, Verdict) {
        let mut registers: Registers = [Byte::Any; 64];
        let (mut truth, mut verdict) = (Truth::Yes, Verdict::Continue);
        for (name, body) in &rule.expressions {
            let held = match name.as_str() {
                "meta" => self.meta(body, &mut registers),
                "payload" => self.payload(body, &mut registers),
                "ct" => self.connection(body, &mut registers),
                "fib" => self.kind_of_destination(body, &mut registers),
                "cmp" => compare(body, &registers),
                "bitwise" => bitwise(body, &mut registers),
                "lookup" => self.look_up(body, &mut registers, &mut verdict),
                "immediate" => immediate(body, &mut registers, &mut verdict),
                "nat" if truth == Truth::Yes => self.translate(body, &registers),
                "reject" => {
                    verdict = Verdict::Drop;
                    Truth::Yes
                }
                "queue" => {
                    verdict = Verdict::Queue;
                    Truth::Yes
                }
                "counter" | "log" | "notrack" | "masq" | "redir" | "nat" | "flow_offload" | "objref" | "dup"
                | "last" => Truth::Yes,
                // Whatever else: limits, foreign matches, looks at routes or sockets.
                _ => Truth::Open,
            };
            match held {
                Truth::No => return (Truth::No, Verdict::Continue),
                Truth::Open => truth = Truth::Open,
                Truth::Yes => {}
            }
        }
        (truth, verdict)
    }

    fn meta(&self, body: &[u8], registers: &mut Registers) -> Truth {
        let Some(to) = find_be32(body, 1) else { return Truth::Yes };
        let v4 = self.packet.destination.is_ipv4();
        let name = |name: Option<&str>| {
            let mut bytes = [0u8; 16];
            let text = name.unwrap_or_default().as_bytes();
            let length = text.len().min(15);
            bytes[..length].copy_from_slice(&text[..length]);
            bytes.to_vec()
        };
        let index =
            |name: &str| std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).ok()?.trim().parse().ok();
        let known: Option<Vec<u8>> = match find_be32(body, 2) {
            Some(1) => Some(if v4 { vec![0x08, 0x00] } else { vec![0x86, 0xdd] }),
            Some(3) => Some(vec![0; 4]),
            Some(4) => index(&self.packet.input).map(|n: u32| n.to_ne_bytes().to_vec()),
            Some(5) => self.packet.output.as_deref().and_then(index).map(|n: u32| n.to_ne_bytes().to_vec()),
            Some(6) => Some(name(Some(&self.packet.input))),
            Some(7) => Some(name(self.packet.output.as_deref())),
            Some(15) => Some(vec![if v4 { IPV4 } else { IPV6 }]),
            Some(16) => Some(vec![self.packet.protocol]),
            _ => None,
        };
        put(registers, to, known.as_deref(), 16);
        Truth::Yes
    }

    /// Whether the destination is the host's own; other questions about routes are not answered.
    fn kind_of_destination(&self, body: &[u8], registers: &mut Registers) -> Truth {
        const ADDRESS_TYPE: u32 = 3;
        const DESTINATION: u32 = 2;
        const UNICAST: u32 = 1;
        const LOCAL: u32 = 2;
        let asked = (find_be32(body, 2), find_be32(body, 3));
        let (Some(to), (Some(ADDRESS_TYPE), Some(DESTINATION))) = (find_be32(body, 1), asked) else {
            return Truth::Open;
        };
        let kind = if (self.route)(self.packet.destination).is_none() { LOCAL } else { UNICAST };
        put(registers, to, Some(&kind.to_ne_bytes()), 4);
        Truth::Yes
    }

    fn payload(&self, body: &[u8], registers: &mut Registers) -> Truth {
        let (Some(to), Some(base)) = (find_be32(body, 1), find_be32(body, 2)) else { return Truth::Yes };
        let (offset, length) = (find_be32(body, 3).unwrap_or(0) as usize, find_be32(body, 4).unwrap_or(0) as usize);
        let header = match base {
            1 => self.network_header(),
            2 => self.transport_header(),
            _ => Vec::new(),
        };
        let byte = |at: usize| header.get(at).copied().unwrap_or(Byte::Any);
        put_bytes(registers, to, &(offset..offset + length).map(byte).collect::<Vec<_>>());
        Truth::Yes
    }

    fn network_header(&self) -> Vec<Byte> {
        let octets = |ip: IpAddr| match ip {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let destination = octets(self.packet.destination);
        let (start, protocol) = if destination.len() == 4 { (12, 9) } else { (8, 6) };
        let mut header = vec![Byte::Any; start];
        header[protocol] = Byte::Is(self.packet.protocol);
        match self.packet.source {
            Some(source) => header.extend(octets(source).into_iter().map(Byte::Is)),
            None => header.extend(vec![Byte::Any; destination.len()]),
        }
        if self.packet.source.is_none() && destination.len() == 4 {
            header[start] = Byte::NotLoopback;
        }
        header.extend(destination.into_iter().map(Byte::Is));
        header
    }

    fn transport_header(&self) -> Vec<Byte> {
        let port = self.packet.port.map(u16::to_be_bytes);
        let byte = |at: usize| port.map_or(Byte::Any, |p| Byte::Is(p[at]));
        vec![Byte::Any, Byte::Any, byte(0), byte(1)]
    }

    fn connection(&self, body: &[u8], registers: &mut Registers) -> Truth {
        const NEW: u32 = 8;
        const TRANSLATED: u32 = (1 << 5) | (1 << 8);
        let Some(to) = find_be32(body, 1) else { return Truth::Yes };
        let status = if self.packet.translated { TRANSLATED } else { 0 };
        let known = match find_be32(body, 2) {
            Some(0) => Some(NEW.to_ne_bytes()),
            Some(2) => Some(status.to_ne_bytes()),
            Some(3) => Some([0; 4]),
            _ => None,
        };
        // The direction of a first packet is the original one.
        let direction = find_be32(body, 2) == Some(1);
        if direction {
            put(registers, to, Some(&[0]), 1)
        } else {
            put(registers, to, known.as_ref().map(|k| &k[..]), 16)
        }
        Truth::Yes
    }

    fn look_up(&self, body: &[u8], registers: &mut Registers, verdict: &mut Verdict) -> Truth {
        let name = find_text(body, 1).unwrap_or_default().to_owned();
        let Some(set) = self.ruleset.sets.get(&(self.place.0, self.place.1.clone(), name)) else { return Truth::Open };
        let from = position(find_be32(body, 2).unwrap_or(0));
        let (found, truth) = search(set, &registers[from..]);
        if find_be32(body, 5).unwrap_or(0) & 1 != 0 {
            return inverted(truth);
        }
        match (find_be32(body, 3), found) {
            (Some(0), Some(element)) => *verdict = parse_verdict(&element.data).unwrap_or(Verdict::Continue),
            (Some(to), Some(element)) => put(registers, to, find(&element.data, 1), 0),
            (Some(to), None) if to > 0 => put(registers, to, None, 16),
            _ => {}
        }
        truth
    }

    /// Another destination, when it is known.
    fn translate(&mut self, body: &[u8], registers: &Registers) -> Truth {
        const DESTINATION: u32 = 1;
        if find_be32(body, 1) != Some(DESTINATION) {
            return Truth::Yes;
        }
        let bytes = |register: Option<u32>, length: usize| -> Option<Vec<u8>> {
            let from = position(register?);
            registers.get(from..from + length)?.iter().map(|b| b.known()).collect()
        };
        let v4 = self.packet.destination.is_ipv4();
        if let Some(register) = find_be32(body, 3) {
            let address = bytes(Some(register), if v4 { 4 } else { 16 });
            let Some(address) = address.and_then(|b| address_of(&b)) else { return Truth::Open };
            self.packet.destination = address;
        }
        if let Some(register) = find_be32(body, 5) {
            let Some(port) = bytes(Some(register), 2) else { return Truth::Open };
            self.packet.port = Some(u16::from_be_bytes([port[0], port[1]]));
        }
        self.packet.translated = true;
        Truth::Yes
    }
}

fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    }
}

/// Where a register begins: 1 to 4 are sixteen bytes each, 8 and on four.
fn position(register: u32) -> usize {
    let at = if register >= 8 { (register - 8) * 4 } else { register.saturating_sub(1) * 16 };
    at.min(48) as usize
}

fn put(registers: &mut Registers, register: u32, value: Option<&[u8]>, length: usize) {
    match value {
        Some(bytes) => put_bytes(registers, register, &bytes.iter().map(|b| Byte::Is(*b)).collect::<Vec<_>>()),
        None => put_bytes(registers, register, &vec![Byte::Any; length]),
    }
}

fn put_bytes(registers: &mut Registers, register: u32, bytes: &[Byte]) {
    let from = position(register);
    // The kernel fills up what it stores to four bytes.
    let filled = std::iter::repeat_n(&Byte::Is(0), bytes.len().next_multiple_of(4) - bytes.len());
    for (slot, byte) in registers[from..].iter_mut().zip(bytes.iter().chain(filled)) {
        *slot = *byte;
    }
}

fn inverted(truth: Truth) -> Truth {
    match truth {
        Truth::Yes => Truth::No,
        Truth::No => Truth::Yes,
        Truth::Open => Truth::Open,
    }
}

fn equal(known: &[Byte], value: &[u8]) -> Truth {
    let differs = known.iter().zip(value).any(|(k, v)| k.excludes(*v));
    match (differs, known.iter().take(value.len()).all(|k| k.known().is_some())) {
        (true, _) => Truth::No,
        (false, true) => Truth::Yes,
        (false, false) => Truth::Open,
    }
}

fn compare(body: &[u8], registers: &Registers) -> Truth {
    let value = find(body, 3).and_then(|data| find(data, 1)).unwrap_or_default();
    let from = position(find_be32(body, 1).unwrap_or(0));
    let known = &registers[from..];
    let whole: Option<Vec<u8>> = known.iter().take(value.len()).map(|b| b.known()).collect();
    let ordered = |so: fn(std::cmp::Ordering) -> bool| match &whole {
        Some(bytes) if so(bytes.as_slice().cmp(value)) => Truth::Yes,
        Some(_) => Truth::No,
        None => Truth::Open,
    };
    match find_be32(body, 2) {
        Some(0) => equal(known, value),
        Some(1) => inverted(equal(known, value)),
        Some(2) => ordered(std::cmp::Ordering::is_lt),
        Some(3) => ordered(std::cmp::Ordering::is_le),
        Some(4) => ordered(std::cmp::Ordering::is_gt),
        Some(5) => ordered(std::cmp::Ordering::is_ge),
        _ => Truth::Open,
    }
}

fn bitwise(body: &[u8], registers: &mut Registers) -> Truth {
    let (Some(from), Some(to)) = (find_be32(body, 1), find_be32(body, 2)) else { return Truth::Open };
    let data = |kind: u16| find(body, kind).and_then(|data| find(data, 1)).unwrap_or_default().to_vec();
    let (mask, flip) = (data(4), data(5));
    if mask.is_empty() {
        return Truth::Open;
    }
    let at = position(from);
    let byte = |n: usize| {
        let flip = flip.get(n).copied().unwrap_or(0);
        let byte = registers[at..].get(n).copied().unwrap_or(Byte::Any);
        match (byte, mask[n]) {
            (_, 0) => Byte::Is(flip),
            (Byte::Is(own), mask) => Byte::Is((own & mask) ^ flip),
            (Byte::NotLoopback, 0xff) if flip == 0 => Byte::NotLoopback,
            _ => Byte::Any,
        }
    };
    let result: Vec<Byte> = (0..mask.len()).map(byte).collect();
    put_bytes(registers, to, &result);
    Truth::Yes
}

fn immediate(body: &[u8], registers: &mut Registers, verdict: &mut Verdict) -> Truth {
    let (Some(to), Some(data)) = (find_be32(body, 1), find(body, 2)) else { return Truth::Open };
    match parse_verdict(data) {
        Some(parsed) => *verdict = parsed,
        None => put(registers, to, find(data, 1), 0),
    }
    Truth::Yes
}

fn parse_verdict(data: &[u8]) -> Option<Verdict> {
    let verdict = find(data, 2)?;
    let chain = || find_text(verdict, 2).unwrap_or_default().to_owned();
    Some(match find_be32(verdict, 1)?.cast_signed() {
        0 => Verdict::Drop,
        1 => Verdict::Accept,
        -3 => Verdict::Jump(chain()),
        -4 => Verdict::Goto(chain()),
        -5 => Verdict::Return,
        code if code & 0xff == 3 => Verdict::Queue,
        _ => Verdict::Continue,
    })
}

/// The element that a key is in, as far as the key is known.
fn search<'a>(set: &'a Set, key: &[Byte]) -> (Option<&'a Element>, Truth) {
    let mut open = false;
    for (at, element) in set.elements.iter().enumerate().filter(|(_, e)| !e.ends) {
        match holds(set, at, element, key) {
            Truth::Yes => return (Some(element), Truth::Yes),
            Truth::Open => open = true,
            Truth::No => {}
        }
    }
    (None, if open { Truth::Open } else { Truth::No })
}

fn holds(set: &Set, at: usize, element: &Element, key: &[Byte]) -> Truth {
    let length = element.key.len();
    let known: Option<Vec<u8>> = key.iter().take(length).map(|b| b.known()).collect();
    if let Some(last) = &element.last {
        return fields_between(key, &element.key, last);
    }
    if !set.intervals {
        return equal(key, &element.key);
    }
    let Some(known) = known else { return Truth::Open };
    let end = set.elements[at + 1..].iter().find(|e| e.ends).map(|e| &e.key);
    let inside = known >= element.key && end.is_none_or(|end| known < *end);
    if inside { Truth::Yes } else { Truth::No }
}

/// Concatenated ranges: each field of four bytes by itself. A field shorter than that ends in zeros on all sides.
fn fields_between(key: &[Byte], first: &[u8], last: &[u8]) -> Truth {
    let mut truth = Truth::Yes;
    for (at, (low, high)) in first.chunks(4).zip(last.chunks(4)).enumerate() {
        let known: Option<Vec<u8>> = key.iter().skip(at * 4).take(low.len()).map(|b| b.known()).collect();
        match known {
            Some(known) if known.as_slice() < low || known.as_slice() > high => return Truth::No,
            Some(_) => {}
            None if low == high => match equal(&key[at * 4..], low) {
                Truth::No => return Truth::No,
                _ => truth = Truth::Open,
            },
            None => truth = Truth::Open,
        }
    }
    truth
}

fn described(place: &Place, rule: &Rule) -> String {
    let comment = if rule.comment.is_empty() { String::new() } else { format!(" \"{}\"", rule.comment) };
    format!("{} {} {} handle {}{comment}", family_name(place.0), place.1, place.2, rule.handle)
}
