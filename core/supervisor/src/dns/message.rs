//! DNS messages: what is asked, and answers of our own.

use domain::base::iana::{Class, Opcode, Rcode, Rtype};
use domain::base::message_builder::AdditionalBuilder;
use domain::base::{Message, MessageBuilder, Name, Ttl};
use domain::rdata::{A, Aaaa, AllRecordData, Ptr};
use std::net::IpAddr;

/// Seconds for which an answer about a container holds: short, as containers come and go.
const TTL: Ttl = Ttl::from_secs(5);
/// What may be sent to those who say nothing about it.
const PLAIN_LIMIT: usize = 512;
/// What we can take, told to those who ask.
const OUR_LIMIT: u16 = 1232;
/// Bytes of the record that tells it.
const OPT_LENGTH: usize = 11;
/// As long as a message on a stream may be.
pub const LONGEST: usize = 65_535;

/// What one message asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Lower case, without the last dot.
    pub name: String,
    /// Addresses, names, or anything else.
    pub kind: Kind,
    /// Bytes that the asker takes in a datagram.
    pub limit: usize,
}

/// The records that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// The name of an address.
    Ptr,
    /// Whatever else.
    Other,
}

/// Why a message gets no answer from us.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not even a refusal.
    Ignore,
    /// This refusal.
    Refuse(Vec<u8>),
}

/// Reads a question.
pub fn question(packet: &[u8]) -> Result<Question, Fault> {
    let message = Message::from_octets(packet).map_err(|_| Fault::Ignore)?;
    if message.header().qr() {
        return Err(Fault::Ignore);
    }
    if message.header().opcode() != Opcode::QUERY {
        return Err(Fault::Refuse(failure(packet, Rcode::NOTIMP)));
    }
    let asked = message.sole_question().map_err(|_| Fault::Refuse(failure(packet, Rcode::FORMERR)))?;
    let kind = match (asked.qclass(), asked.qtype()) {
        (Class::IN, Rtype::A) => Kind::A,
        (Class::IN, Rtype::AAAA) => Kind::Aaaa,
        (Class::IN, Rtype::PTR) => Kind::Ptr,
        _ => Kind::Other,
    };
    let edns = message.opt().map(|opt| usize::from(opt.udp_payload_size()));
    let name = asked.qname().to_string().trim_end_matches('.').to_ascii_lowercase();
    Ok(Question { name, kind, limit: edns.unwrap_or(PLAIN_LIMIT).max(PLAIN_LIMIT) })
}

/// True for an answer to the question of a message, by its number and what it repeats.
pub fn answers(answer: &[u8], question: &[u8]) -> bool {
    let (Ok(answer), Ok(question)) = (Message::from_octets(answer), Message::from_octets(question)) else {
        return false;
    };
    let same = match (answer.sole_question(), question.sole_question()) {
        (Ok(theirs), Ok(ours)) => theirs == ours,
        _ => false,
    };
    answer.header().qr() && answer.header().id() == question.header().id() && same
}

/// True when a server says that it cannot or will not answer.
pub fn is_refusal(answer: &[u8]) -> bool {
    let rcode = Message::from_octets(answer).map(|m| m.header().rcode());
    rcode.is_ok_and(|r| matches!(r, Rcode::SERVFAIL | Rcode::REFUSED | Rcode::NOTIMP))
}

/// The number of a message.
pub fn number(packet: &[u8]) -> u16 {
    packet.first_chunk::<2>().map_or(0, |bytes| u16::from_be_bytes(*bytes))
}

/// Gives a message another number.
pub fn renumber(packet: &mut [u8], number: u16) {
    if let Some(first) = packet.first_chunk_mut::<2>() {
        *first = number.to_be_bytes();
    }
}

/// The addresses of a family among some, as many as fit.
pub fn addresses(packet: &[u8], list: &[IpAddr], limit: usize) -> Vec<u8> {
    build(packet, Rcode::NOERROR, limit, |answer| {
        for address in list {
            let name = answer.name.clone();
            match address {
                IpAddr::V4(v4) => answer.builder.push((name, TTL, A::new(*v4)))?,
                IpAddr::V6(v6) => answer.builder.push((name, TTL, Aaaa::new(*v6)))?,
            }
        }
        Ok(())
    })
}

/// The name of an address.
pub fn pointer(packet: &[u8], target: &str, limit: usize) -> Vec<u8> {
    let Ok(target) = format!("{target}.").parse::<Name<Vec<u8>>>() else { return failure(packet, Rcode::SERVFAIL) };
    build(packet, Rcode::NOERROR, limit, |answer| answer.builder.push((answer.name.clone(), TTL, Ptr::new(target))))
}

/// There is such a name, but nothing of the sort that was asked for.
pub fn nothing(packet: &[u8]) -> Vec<u8> {
    failure(packet, Rcode::NOERROR)
}

/// We cannot say.
pub fn no_server(packet: &[u8]) -> Vec<u8> {
    failure(packet, Rcode::SERVFAIL)
}

/// We have too much to do.
pub fn too_much(packet: &[u8]) -> Vec<u8> {
    failure(packet, Rcode::REFUSED)
}

fn failure(packet: &[u8], rcode: Rcode) -> Vec<u8> {
    build(packet, rcode, LONGEST, |_| Ok(()))
}

struct Answer<'a> {
    builder: &'a mut domain::base::message_builder::AnswerBuilder<Vec<u8>>,
    name: Name<Vec<u8>>,
}

type Pushed = Result<(), domain::base::message_builder::PushError>;

/// An answer; one that does not fit is cut off after the question and says so, and the asker comes again by TCP.
fn build(packet: &[u8], rcode: Rcode, limit: usize, fill: impl FnOnce(&mut Answer<'_>) -> Pushed) -> Vec<u8> {
    let Ok(message) = Message::from_octets(packet) else { return Vec::new() };
    let edns = message.opt().is_some();
    let room = if edns { limit.saturating_sub(OPT_LENGTH) } else { limit };
    let mut builder = MessageBuilder::new_vec();
    builder.set_push_limit(room);
    let Ok(mut builder) = builder.start_answer(&message, rcode) else { return Vec::new() };
    builder.header_mut().set_ra(true);
    let question = message.sole_question().ok();
    let name = question.and_then(|q| q.qname().to_string().parse::<Name<Vec<u8>>>().ok());
    let mut answer = Answer { builder: &mut builder, name: name.unwrap_or_else(Name::root_vec) };
    let filled = fill(&mut answer);
    if filled.is_err() {
        builder.rewind();
        builder.header_mut().set_tc(true);
    }
    let mut builder = builder.additional();
    builder.clear_push_limit();
    finish(builder, edns)
}

fn finish(mut builder: AdditionalBuilder<Vec<u8>>, edns: bool) -> Vec<u8> {
    if edns {
        // Eleven bytes into memory: nothing can be in the way.
        let _ = builder.opt(|opt| {
            opt.set_udp_payload_size(OUR_LIMIT);
            Ok(())
        });
    }
    builder.finish()
}

/// A question as programs send it; `None` for what can be no name.
pub fn ask(name: &str, kind: Rtype) -> Option<Vec<u8>> {
    let name: Name<Vec<u8>> = format!("{name}.").parse().ok()?;
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_rd(true);
    let mut builder = builder.question();
    builder.push((name, kind)).ok()?;
    Some(builder.finish())
}

/// What an answer holds: its records as texts, and its code when it is an error, or that there is nothing.
pub fn told(answer: &[u8]) -> (Vec<String>, String) {
    let Ok(message) = Message::from_octets(answer) else { return (Vec::new(), "it answers rubbish".to_owned()) };
    let records = message.answer().ok().map(|section| section.limit_to::<AllRecordData<_, _>>());
    let texts: Vec<String> = records.into_iter().flatten().flatten().map(|record| record.data().to_string()).collect();
    let remark = match message.header().rcode() {
        Rcode::NOERROR if texts.is_empty() => "no such record".to_owned(),
        Rcode::NOERROR => String::new(),
        code => code.to_string(),
    };
    (texts, remark)
}

/// The name by which an address is asked for.
pub fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let value = u128::from(v6);
            let digits = (0..32).map(|n| format!("{:x}.", (value >> (4 * n)) & 15));
            digits.collect::<String>() + "ip6.arpa"
        }
    }
}

/// The address that a reverse name such as `2.0.17.172.in-addr.arpa` means.
pub fn reversed(name: &str) -> Option<IpAddr> {
    if let Some(rest) = name.strip_suffix(".in-addr.arpa") {
        let mut bytes = [0u8; 4];
        let mut parts = rest.split('.');
        for byte in bytes.iter_mut().rev() {
            *byte = parts.next()?.parse().ok()?;
        }
        return parts.next().is_none().then(|| IpAddr::from(bytes));
    }
    let rest = name.strip_suffix(".ip6.arpa")?;
    let mut value = 0u128;
    let mut count = 0u32;
    for digit in rest.split('.') {
        let bits = u128::from_str_radix(digit, 16).ok().filter(|_| digit.len() == 1 && count < 32)?;
        value |= bits << (4 * count);
        count += 1;
    }
    (count == 32).then(|| IpAddr::from(value.to_be_bytes()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A question with or without EDNS.
    pub fn ask(name: &str, kind: Rtype, limit: Option<u16>) -> Vec<u8> {
        let mut builder = MessageBuilder::new_vec();
        builder.header_mut().set_id(4711);
        builder.header_mut().set_rd(true);
        let mut builder = builder.question();
        builder.push((format!("{name}.").parse::<Name<Vec<u8>>>().expect("a name"), kind)).expect("room");
        let mut builder = builder.additional();
        if let Some(limit) = limit {
            builder
                .opt(|opt| {
                    opt.set_udp_payload_size(limit);
                    Ok(())
                })
                .expect("room");
        }
        builder.finish()
    }

    /// What an answer holds, as texts.
    pub fn shown(answer: &[u8]) -> Vec<String> {
        let message = Message::from_octets(answer).expect("a message");
        let records = message.answer().expect("answers").limit_to::<AllRecordData<_, _>>();
        records.map(|r| r.expect("a record")).map(|r| format!("{} {}", r.ttl().as_secs(), r.data())).collect()
    }

    #[test]
    fn questions_are_read() {
        let asked = question(&ask("Web.Example", Rtype::A, None)).expect("sound");
        assert_eq!(asked, Question { name: "web.example".into(), kind: Kind::A, limit: 512 });
        let asked = question(&ask("x", Rtype::MX, Some(4096))).expect("sound");
        assert_eq!((asked.kind, asked.limit), (Kind::Other, 4096));
    }

    #[test]
    fn rubbish_is_ignored_or_refused() {
        assert_eq!(question(b""), Err(Fault::Ignore));
        assert_eq!(question(&[0; 5]), Err(Fault::Ignore));
        assert!(matches!(question(&[0; 12]), Err(Fault::Refuse(_))));
        let mut answer = ask("x", Rtype::A, None);
        answer[2] |= 0x80;
        assert_eq!(question(&answer), Err(Fault::Ignore));
        let mut update = ask("x", Rtype::A, None);
        update[2] |= 5 << 3;
        assert!(matches!(question(&update), Err(Fault::Refuse(_))));
        for length in 0..ask("web", Rtype::A, Some(4096)).len() {
            let _ = question(&ask("web", Rtype::A, Some(4096))[..length]);
        }
    }

    #[test]
    fn answers_repeat_the_question_and_fit() {
        let asked = ask("web", Rtype::A, None);
        let list = [IpAddr::from([10, 0, 0, 2]), IpAddr::from([10, 0, 0, 3])];
        let answer = addresses(&asked, &list, 512);
        assert!(answers(&answer, &asked));
        assert_eq!(shown(&answer), ["5 10.0.0.2", "5 10.0.0.3"]);
        let many: Vec<IpAddr> = (0..100).map(|n| IpAddr::from([10, 0, 0, n])).collect();
        let cut = addresses(&asked, &many, 512);
        let message = Message::from_octets(cut.as_slice()).expect("a message");
        assert!(message.header().tc() && cut.len() <= 512 && shown(&cut).is_empty());
        let whole = addresses(&ask("web", Rtype::A, Some(4096)), &many, 4096);
        assert_eq!(shown(&whole).len(), 100);
        assert!(Message::from_octets(whole.as_slice()).expect("a message").opt().is_some());
    }

    #[test]
    fn answers_are_told() {
        let asked = super::ask("web", Rtype::A).expect("a name");
        let answer = addresses(&asked, &[[10, 0, 0, 2].into()], 512);
        assert_eq!(told(&answer), (vec!["10.0.0.2".to_owned()], String::new()));
        assert_eq!(told(&no_server(&asked)), (Vec::new(), "SERVFAIL".to_owned()));
        assert_eq!(told(&nothing(&asked)).1, "no such record");
        assert_eq!(told(b"x").1, "it answers rubbish");
        assert_eq!(super::ask("a..b", Rtype::A), None);
    }

    #[test]
    fn reverse_names() {
        assert_eq!(reversed("2.0.17.172.in-addr.arpa"), Some(IpAddr::from([172, 17, 0, 2])));
        for address in ["172.17.0.2", "fd00::1:2"].map(|text| text.parse::<IpAddr>().expect("an address")) {
            assert_eq!(reversed(&reverse(address)), Some(address));
        }
        let v6 = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa";
        assert_eq!(reversed(v6), "fd00::1".parse().ok());
        for bad in ["2.0.17.in-addr.arpa", "x.0.17.172.in-addr.arpa", "1.2.3.ip6.arpa", "web"] {
            assert_eq!(reversed(bad), None, "{bad}");
        }
        let asked = ask("2.0.17.172.in-addr.arpa", Rtype::PTR, None);
        assert_eq!(shown(&pointer(&asked, "web.net1", 512)), ["5 web.net1."]);
    }
}
