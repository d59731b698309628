//! From rules to classic BPF.
//!
//! Calls with the same answer that lie side by side are joined to one interval, and the intervals
//! become a balanced tree: some 7 comparisons for a call, where a list needs 330. The kernel pays
//! the walk for every number twice when it installs a filter, so the tree starts containers faster.

use super::arch::Arch;
use super::profile::{Condition, Profile, RET_ERRNO, RET_KILL_PROCESS, Rule};
use crate::error::Error;
use crate::init::steps::seccomp::{MAX_INSTRUCTIONS, pack};
use gantry_sys::seccomp::Instruction;
use oci_spec::runtime::LinuxSeccompOperator as Operator;
use std::collections::BTreeMap;

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const EQUAL: u16 = 0x15;
const GREATER: u16 = 0x25;
const GREATER_OR_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

const ENOSYS: u32 = 38;

/// Compiles `profile` to packed instructions.
pub(crate) fn compile(profile: &Profile) -> Result<Vec<u64>, Error> {
    let mut program = vec![statement(LOAD, ARCHITECTURE)];
    for (audit, group) in by_word(&profile.architectures) {
        let section = section(profile, &group);
        program.push(branch(EQUAL, audit, 1, 0));
        program.push(statement(JUMP, section.len() as u32));
        program.extend(section);
    }
    program.push(statement(RETURN, RET_KILL_PROCESS));
    if program.len() > MAX_INSTRUCTIONS {
        let reason = format!("it needs {} instructions, the kernel takes {MAX_INSTRUCTIONS}", program.len());
        return Err(Error::invalid("seccomp profile", reason));
    }
    Ok(program.into_iter().map(pack).collect())
}

/// x86-64 and x32 share one architecture word, hence one tree.
fn by_word(architectures: &[Arch]) -> Vec<(u32, Vec<Arch>)> {
    let mut groups: Vec<(u32, Vec<Arch>)> = Vec::new();
    for arch in architectures {
        match groups.iter_mut().find(|(audit, _)| *audit == arch.audit()) {
            Some((_, group)) => group.push(*arch),
            None => groups.push((arch.audit(), vec![*arch])),
        }
    }
    // Numbers have to rise within a tree, and those of x32 are the higher ones.
    groups.iter_mut().for_each(|(_, group)| group.sort_by_key(|arch| *arch == Arch::X32));
    groups
}

fn section(profile: &Profile, group: &[Arch]) -> Vec<Instruction> {
    let mut code = vec![statement(LOAD, NUMBER)];
    code.extend(tree(&intervals(profile, group)));
    code
}

/// What happens to a call: alternatives in order, then an answer that holds always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Leaf {
    alternatives: Vec<(Vec<Condition>, u32)>,
    otherwise: u32,
}

impl Leaf {
    fn plain(answer: u32) -> Leaf {
        Leaf { alternatives: Vec::new(), otherwise: answer }
    }
}

/// Calls from `start` up to the next interval.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Interval {
    start: u32,
    leaf: Leaf,
}

fn intervals(profile: &Profile, group: &[Arch]) -> Vec<Interval> {
    let mut intervals = vec![Interval { start: 0, leaf: Leaf::plain(unknown(profile.default)) }];
    for arch in group {
        let named = leaves(profile, *arch);
        let Some((first, last)) = named.keys().next().zip(named.keys().last()) else { continue };
        let (base, end) = (first & super::arch::X32_BIT, last + 1);
        set(&mut intervals, base, Leaf::plain(profile.default));
        for (number, leaf) in &named {
            set(&mut intervals, *number, leaf.clone());
            set(&mut intervals, number + 1, Leaf::plain(profile.default));
        }
        set(&mut intervals, end, Leaf::plain(unknown(profile.default)));
    }
    intervals
}

/// A call newer than every call the profile names gets "no such system call", so that C libraries
/// fall back to an older one instead of giving up on "not permitted".
fn unknown(default: u32) -> u32 {
    if default & 0xffff_0000 == RET_ERRNO { RET_ERRNO | ENOSYS } else { default }
}

/// Starts an interval; the numbers come in rising order.
fn set(intervals: &mut Vec<Interval>, start: u32, leaf: Leaf) {
    if intervals.last().is_some_and(|last| last.start == start) {
        intervals.pop();
    }
    if intervals.last().is_none_or(|last| last.leaf != leaf) {
        intervals.push(Interval { start, leaf });
    }
}

fn leaves(profile: &Profile, arch: Arch) -> BTreeMap<u32, Leaf> {
    let mut found: BTreeMap<u32, (Leaf, bool)> = BTreeMap::new();
    for rule in &profile.rules {
        for number in rule.names.iter().filter_map(|name| arch.number(name)) {
            let entry = found.entry(number).or_insert_with(|| (Leaf::plain(profile.default), false));
            add(entry, rule);
        }
    }
    found.into_iter().map(|(number, (leaf, _))| (number, leaf)).collect()
}

/// The first rule without conditions settles what holds when no condition does.
fn add((leaf, settled): &mut (Leaf, bool), rule: &Rule) {
    if !rule.conditions.is_empty() {
        leaf.alternatives.push((rule.conditions.clone(), rule.answer));
    } else if !*settled {
        leaf.otherwise = rule.answer;
        *settled = true;
    }
}

fn tree(intervals: &[Interval]) -> Vec<Instruction> {
    if let [interval] = intervals {
        return leaf_code(&interval.leaf);
    }
    let (low, high) = intervals.split_at(intervals.len() / 2);
    let left = tree(low);
    let middle = high[0].start;
    let mut code = match u8::try_from(left.len()) {
        Ok(over_left) => vec![branch(GREATER_OR_EQUAL, middle, over_left, 0)],
        Err(_) => {
            vec![branch(GREATER_OR_EQUAL, middle, 0, 1), statement(JUMP, left.len() as u32)]
        }
    };
    code.extend(left);
    code.extend(tree(high));
    code
}

fn leaf_code(leaf: &Leaf) -> Vec<Instruction> {
    let mut code = Vec::new();
    for (conditions, answer) in &leaf.alternatives {
        code.extend(alternative(conditions, *answer));
    }
    code.push(statement(RETURN, leaf.otherwise));
    code
}

/// Conditions in a row, then the answer; a failed condition jumps over it.
fn alternative(conditions: &[Condition], answer: u32) -> Vec<Instruction> {
    let blocks: Vec<Vec<Test>> = conditions.iter().map(tests).collect();
    let total: usize = blocks.iter().map(Vec::len).sum();
    let mut code = Vec::new();
    for block in &blocks {
        let pass = code.len() + block.len();
        for test in block {
            let next = code.len() + 1;
            let resolve = |goal: &Goal| match goal {
                Goal::Next => 0,
                Goal::Pass => (pass - next) as u8,
                Goal::Fail => (total + 1 - next) as u8,
            };
            code.push(match test {
                Test::Load(offset) => statement(LOAD, *offset),
                Test::Mask(mask) => statement(AND, *mask),
                Test::Compare(code, value, yes, no) => branch(*code, *value, resolve(yes), resolve(no)),
            });
        }
    }
    code.push(statement(RETURN, answer));
    code
}

enum Goal {
    Next,
    Pass,
    Fail,
}

enum Test {
    Load(u32),
    Mask(u32),
    Compare(u16, u32, Goal, Goal),
}

/// BPF compares 32 bits at a time: the high half of the argument first, then the low one.
fn tests(condition: &Condition) -> Vec<Test> {
    use Goal::{Fail, Next, Pass};
    let low_at = ARGUMENTS + 8 * condition.argument;
    let (low_at, high_at) = if cfg!(target_endian = "little") { (low_at, low_at + 4) } else { (low_at + 4, low_at) };
    let (high, low) = halves(condition.value);
    let compare = |operator, above, equal_fails: (Goal, Goal), below| {
        let (yes, no) = equal_fails;
        vec![
            Test::Load(high_at),
            Test::Compare(GREATER, high, above, Next),
            Test::Compare(EQUAL, high, Next, below),
            Test::Load(low_at),
            Test::Compare(operator, low, yes, no),
        ]
    };
    match condition.operator {
        Operator::ScmpCmpEq => equal(high_at, low_at, None, condition.value),
        Operator::ScmpCmpMaskedEq => equal(high_at, low_at, Some(condition.value), condition.second),
        Operator::ScmpCmpNe => vec![
            Test::Load(high_at),
            Test::Compare(EQUAL, high, Next, Pass),
            Test::Load(low_at),
            Test::Compare(EQUAL, low, Fail, Pass),
        ],
        Operator::ScmpCmpGt => compare(GREATER, Pass, (Pass, Fail), Fail),
        Operator::ScmpCmpGe => compare(GREATER_OR_EQUAL, Pass, (Pass, Fail), Fail),
        Operator::ScmpCmpLt => compare(GREATER_OR_EQUAL, Fail, (Fail, Pass), Pass),
        Operator::ScmpCmpLe => compare(GREATER, Fail, (Fail, Pass), Pass),
    }
}

fn equal(high_at: u32, low_at: u32, mask: Option<u64>, value: u64) -> Vec<Test> {
    let (high, low) = halves(value);
    let mut tests = Vec::new();
    for (offset, shift, half, pass) in [(high_at, 32, high, Goal::Next), (low_at, 0, low, Goal::Pass)] {
        tests.push(Test::Load(offset));
        if let Some(mask) = mask {
            tests.push(Test::Mask((mask >> shift) as u32));
        }
        tests.push(Test::Compare(EQUAL, half, pass, Goal::Fail));
    }
    tests
}

fn halves(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
}

fn statement(code: u16, k: u32) -> Instruction {
    Instruction { code, jt: 0, jf: 0, k }
}

fn branch(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code, jt, jf, k }
}
