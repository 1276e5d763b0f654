//! What a server's processes cost: CPU time and memory, read from `/proc`, children included (nginx works in children).

use std::fs;

use anyhow::{Context, Result};

/// Microseconds per clock tick of `/proc/PID/stat`: USER_HZ is 100 on every Linux that this runs on.
const TICK: f64 = 10_000.0;

/// A process and everything below it.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        let children =
            fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        found.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        next += 1;
    }
    found
}

/// CPU time that a family has used so far, in microseconds: user and system, children that ended included.
pub(crate) fn cpu(pid: u32) -> Result<f64> {
    let mut ticks = 0;
    for member in family(pid) {
        let Ok(stat) = fs::read_to_string(format!("/proc/{member}/stat")) else { continue };
        // The second field is a name that may hold anything; what follows its last parenthesis is numbers.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        // utime, stime, cutime and cstime are fields 14 to 17, and the name was the second.
        ticks += fields
            .split_whitespace()
            .skip(11)
            .take(4)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum::<u64>();
    }
    anyhow::ensure!(ticks > 0 || fs::exists(format!("/proc/{pid}"))?, "process {pid} has ended");
    Ok(ticks as f64 * TICK)
}

/// CPU time that the machine has spent on anything so far, in microseconds.
pub(crate) fn busy() -> Result<f64> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("/proc/stat is empty")?;
    let fields: Vec<u64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq; the rest is counted in those or is not ours.
    let waiting: u64 = fields.iter().skip(3).take(2).sum();
    let all: u64 = fields.iter().take(7).sum();
    Ok((all - waiting) as f64 * TICK)
}

/// How many processors there are.
pub(crate) fn processors() -> f64 {
    std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64)
}

/// Memory of a family now and at its highest, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    pub(crate) peak: u64,
}

/// Memory of a family; pages that its members share count for each.
pub(crate) fn memory(pid: u32) -> Result<Memory> {
    let mut sum = Memory::default();
    for member in family(pid) {
        let status = fs::read_to_string(format!("/proc/{member}/status"))
            .with_context(|| format!("process {member} has ended"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        sum.resident += field("VmRSS:").unwrap_or(0) * 1024;
        sum.peak += field("VmHWM:").unwrap_or(0) * 1024;
    }
    Ok(sum)
}

/// Makes the present the highest, so that the next peak is that of what comes.
pub(crate) fn forget_peak(pid: u32) -> Result<()> {
    for member in family(pid) {
        fs::write(format!("/proc/{member}/clear_refs"), "5").context("resetting the memory peak")?;
    }
    Ok(())
}

/// Bytes that a process has read by system calls so far, from files and sockets.
pub(crate) fn bytes_read(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/io"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("rchar:")).context("no rchar")?;
    Ok(line.trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_cpu_and_memory() {
        let own = std::process::id();
        let mut sum = 0u64;
        for round in 0..400_000_000u64 {
            sum = sum.wrapping_mul(31).wrapping_add(std::hint::black_box(round));
        }
        assert!(cpu(own).unwrap() > 0.0, "{sum}");
        let memory = memory(own).unwrap();
        assert!(memory.peak >= memory.resident && memory.resident > 0);
        assert!(bytes_read(own).unwrap() > 0);
        assert!(cpu(u32::MAX / 4).is_err());
    }
}
