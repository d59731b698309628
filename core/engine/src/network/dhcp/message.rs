//! Messages of DHCPv4 (RFC 2131, 2132) and the IPv4 packets they travel in, made and read by hand: the crates for them bring
//! a whole DNS library along.

use std::net::Ipv4Addr;

/// Kinds of messages (option 53).
pub const DISCOVER: u8 = 1;
pub const OFFER: u8 = 2;
pub const REQUEST: u8 = 3;
pub const ACK: u8 = 5;
pub const NAK: u8 = 6;
pub const RELEASE: u8 = 7;

const MASK: u8 = 1;
const ROUTER: u8 = 3;
const DNS: u8 = 6;
const HOST_NAME: u8 = 12;
const DOMAIN: u8 = 15;
const REQUESTED: u8 = 50;
const LEASE_TIME: u8 = 51;
const KIND: u8 = 53;
const SERVER: u8 = 54;
const WISHES: u8 = 55;
const RENEW_TIME: u8 = 58;
const CLIENT: u8 = 61;
const SEARCH: u8 = 119;
const END: u8 = 255;

const COOKIE: [u8; 4] = [99, 130, 83, 99];
const FIXED: usize = 236;
/// Old relays drop what is shorter.
const SHORTEST: usize = 300;
const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const CLIENT_PORT: u16 = 68;
const SERVER_PORT: u16 = 67;
const UDP: u8 = 17;

/// What a client says.
#[derive(Clone, Debug, Default)]
pub struct Question {
    pub kind: u8,
    pub transaction: u32,
    pub mac: [u8; 6],
    /// The address that it has, when it has one.
    pub own: Option<Ipv4Addr>,
    /// The address that it would like.
    pub wanted: Option<Ipv4Addr>,
    /// Whom it means.
    pub server: Option<Ipv4Addr>,
    pub host_name: String,
}

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub kind: u8,
    pub address: Ipv4Addr,
    pub prefix: u8,
    pub router: Option<Ipv4Addr>,
    pub server: Ipv4Addr,
    pub dns: Vec<Ipv4Addr>,
    /// Domains in which short names are looked for.
    pub search: Vec<String>,
    /// Seconds; `u32::MAX`: for ever.
    pub lease: u32,
    /// Seconds after which it is to be renewed.
    pub renew: Option<u32>,
}

impl Question {
    /// The packet, from the client's address, if it has one, to a server's or everybody's.
    pub fn packet(&self, to: Ipv4Addr) -> Vec<u8> {
        packet(self.own.unwrap_or(Ipv4Addr::UNSPECIFIED), to, &self.encode())
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; FIXED];
        // A request over Ethernet with addresses of six bytes.
        bytes[..4].copy_from_slice(&[1, 1, 6, 0]);
        bytes[4..8].copy_from_slice(&self.transaction.to_be_bytes());
        if self.own.is_none() {
            // The answer must be for everybody: nobody here listens at the address yet.
            bytes[10] = 0x80;
        }
        bytes[12..16].copy_from_slice(&self.own.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
        bytes[28..34].copy_from_slice(&self.mac);
        bytes.extend_from_slice(&COOKIE);
        let mut put = |option: u8, value: &[u8]| {
            bytes.extend_from_slice(&[option, value.len() as u8]);
            bytes.extend_from_slice(value);
        };
        put(KIND, &[self.kind]);
        put(CLIENT, &[&[1], &self.mac[..]].concat());
        self.wanted.iter().for_each(|address| put(REQUESTED, &address.octets()));
        self.server.iter().for_each(|address| put(SERVER, &address.octets()));
        if self.kind != RELEASE {
            put(WISHES, &[MASK, ROUTER, DNS, DOMAIN, LEASE_TIME, RENEW_TIME, SEARCH]);
            let name = self.host_name.as_bytes();
            if !name.is_empty() && name.len() <= 63 {
                put(HOST_NAME, name);
            }
        }
        bytes.push(END);
        bytes.resize(bytes.len().max(SHORTEST), 0);
        bytes
    }
}

fn packet(from: Ipv4Addr, to: Ipv4Addr, body: &[u8]) -> Vec<u8> {
    let length = (IP_HEADER + UDP_HEADER + body.len()) as u16;
    let mut bytes = vec![0x45, 0];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&[0, 0, 0, 0, 64, UDP, 0, 0]);
    bytes.extend_from_slice(&from.octets());
    bytes.extend_from_slice(&to.octets());
    let sum = check_sum(&bytes);
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes.extend_from_slice(&CLIENT_PORT.to_be_bytes());
    bytes.extend_from_slice(&SERVER_PORT.to_be_bytes());
    bytes.extend_from_slice(&(length - IP_HEADER as u16).to_be_bytes());
    // No check sum: IPv4 allows that, and the hardware below has one.
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend_from_slice(body);
    bytes
}

fn check_sum(header: &[u8]) -> u16 {
    let words = header.as_chunks::<2>().0.iter().map(|pair| u32::from(u16::from_be_bytes(*pair)));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

/// The answer in a packet, when it is one to this question.
pub fn answer(packet: &[u8], transaction: u32, mac: [u8; 6]) -> Option<Answer> {
    let header = usize::from(packet.first()? & 0xf) * 4;
    let is_udp = packet.first()? >> 4 == 4 && *packet.get(9)? == UDP;
    let ports = packet.get(header..header + 4)?;
    if !is_udp || ports != [0, 67, 0, 68] {
        return None;
    }
    let body = packet.get(header + UDP_HEADER..)?;
    let ours = *body.first()? == 2 && body.get(4..8)? == transaction.to_be_bytes() && body.get(28..34)? == mac;
    if !ours || body.get(FIXED..FIXED + 4)? != COOKIE {
        return None;
    }
    let options = &body[FIXED + 4..];
    let own: [u8; 4] = body.get(16..20)?.try_into().ok()?;
    let number = |option| option_of(options, option).and_then(|v| Some(u32::from_be_bytes(v.try_into().ok()?)));
    let address = |option| addresses(options, option).next();
    Some(Answer {
        kind: *option_of(options, KIND)?.first()?,
        address: own.into(),
        prefix: number(MASK).map_or(24, |mask| mask.leading_ones() as u8),
        router: address(ROUTER),
        server: address(SERVER)?,
        dns: addresses(options, DNS).collect(),
        search: super::domains::of(option_of(options, SEARCH), option_of(options, DOMAIN)),
        lease: number(LEASE_TIME).unwrap_or(3600),
        renew: number(RENEW_TIME),
    })
}

fn addresses(options: &[u8], option: u8) -> impl Iterator<Item = Ipv4Addr> {
    option_of(options, option).unwrap_or_default().as_chunks::<4>().0.iter().map(|octets| (*octets).into())
}

fn option_of(mut options: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        match *options.first()? {
            END => return None,
            0 => options = &options[1..],
            option => {
                let length = usize::from(*options.get(1)?);
                let value = options.get(2..2 + length)?;
                if option == wanted {
                    return Some(value);
                }
                options = &options[2 + length..];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];

    /// A server's answer, out of a question of the same length.
    fn answered(kind: u8, options: &[u8]) -> Vec<u8> {
        let question = Question { kind, transaction: 77, mac: MAC, ..Question::default() };
        let mut bytes = question.packet(Ipv4Addr::BROADCAST);
        bytes[20..24].copy_from_slice(&[0, 67, 0, 68]);
        let body = IP_HEADER + UDP_HEADER;
        bytes[body] = 2;
        bytes[body + 16..body + 20].copy_from_slice(&[10, 0, 0, 9]);
        bytes.truncate(body + FIXED + 4);
        bytes.extend_from_slice(&[KIND, 1, kind]);
        bytes.extend_from_slice(options);
        bytes.push(END);
        bytes
    }

    #[test]
    fn a_question_is_a_packet_that_others_read() {
        let question = Question {
            kind: REQUEST,
            transaction: 0x0102_0304,
            mac: MAC,
            wanted: Some([10, 0, 0, 9].into()),
            server: Some([10, 0, 0, 1].into()),
            host_name: "web".into(),
            ..Question::default()
        };
        let packet = question.packet(Ipv4Addr::BROADCAST);
        assert_eq!(packet.len(), IP_HEADER + UDP_HEADER + SHORTEST);
        assert_eq!(check_sum(&packet[..IP_HEADER]), 0);
        let body = &packet[IP_HEADER + UDP_HEADER..];
        assert_eq!((&body[..4], &body[4..8], body[10]), (&[1, 1, 6, 0][..], &[1, 2, 3, 4][..], 0x80));
        let options = &body[FIXED + 4..];
        assert_eq!(option_of(options, KIND), Some(&[REQUEST][..]));
        assert_eq!(option_of(options, REQUESTED), Some(&[10, 0, 0, 9][..]));
        assert_eq!(option_of(options, CLIENT), Some(&[1, 2, 0, 0, 0, 0, 7][..]));
        assert_eq!(option_of(options, HOST_NAME), Some(&b"web"[..]));
    }

    #[test]
    fn an_answer_is_read() {
        let options = [
            &[0, MASK, 4, 255, 255, 240, 0][..],
            &[ROUTER, 4, 10, 0, 0, 1],
            &[SERVER, 4, 10, 0, 0, 2],
            &[DNS, 8, 10, 0, 0, 3, 10, 0, 0, 4],
            &[DOMAIN, 3, b'l', b'a', b'n', LEASE_TIME, 4, 0, 0, 0, 20],
        ];
        let answer = answer(&answered(ACK, &options.concat()), 77, MAC).expect("an answer");
        let want = Answer {
            kind: ACK,
            address: [10, 0, 0, 9].into(),
            prefix: 20,
            router: Some([10, 0, 0, 1].into()),
            server: [10, 0, 0, 2].into(),
            dns: vec![[10, 0, 0, 3].into(), [10, 0, 0, 4].into()],
            search: vec!["lan".to_owned()],
            lease: 20,
            renew: None,
        };
        assert_eq!(answer, want);
    }

    #[test]
    fn what_is_none_is_passed_over() {
        let whole = answered(OFFER, &[SERVER, 4, 10, 0, 0, 2]);
        assert!(answer(&whole, 77, MAC).is_some());
        assert_eq!(answer(&whole, 78, MAC), None, "another's");
        assert_eq!(answer(&whole, 77, [9; 6]), None, "another's");
        for length in 0..whole.len() - 1 {
            // Cut anywhere it is no answer, or one without what was cut; never a panic.
            let _ = answer(&whole[..length], 77, MAC);
        }
        let mut lying = whole;
        let at = IP_HEADER + UDP_HEADER + FIXED + 4 + 4;
        lying[at] = 250;
        assert_eq!(answer(&lying, 77, MAC), None);
    }
}
