//! How much memory this process can have. Only Linux is asked; elsewhere [`ASSUMED`] stands for it.

/// The memory of a machine that is not asked: 16 GiB.
const ASSUMED: u64 = 16 << 30;

/// The bytes of memory that this process can have: those of the machine, or fewer if its control groups or its resource
/// limits (`ulimit -d`, `ulimit -v`) allow fewer.
pub fn memory() -> u64 {
    if !cfg!(target_os = "linux") {
        return ASSUMED;
    }
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let groups = group_files(&read("/proc/self/cgroup"));
    let groups: Vec<String> = groups.iter().map(|path| read(path)).collect();
    least(&read("/proc/meminfo"), &read("/proc/self/limits"), &groups)
}

/// The files that limit the memory of the control groups of `/proc/self/cgroup`, of version 1 and 2.
fn group_files(groups: &str) -> Vec<String> {
    let mut files = vec![];
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (root, file) = match parts.next() {
            Some("") => ("/sys/fs/cgroup", "memory.max"),
            Some(controllers) if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // The limits of the groups around it hold too.
        let mut group = parts.next().unwrap_or_default().trim_end_matches('/');
        loop {
            files.push(format!("{root}{group}/{file}"));
            match group.rsplit_once('/') {
                Some((around, _)) => group = around,
                None => break,
            }
        }
    }
    files
}

/// The least of these numbers of bytes; a limit that is `unlimited` or `max` is none.
fn least(meminfo: &str, limits: &str, groups: &[String]) -> u64 {
    let number = |text: &str| text.split_whitespace().next()?.parse::<u64>().ok();
    let after = |text: &str, name: &str| text.lines().find_map(|line| number(line.strip_prefix(name)?));
    let machine = after(meminfo, "MemTotal:").map_or(ASSUMED, |kib| kib << 10);
    let own = ["Max data size", "Max address space"].into_iter().filter_map(|name| after(limits, name));
    groups.iter().filter_map(|group| number(group)).chain(own).fold(machine, u64::min)
}

/// `bytes` in GiB, for a message.
pub fn in_gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limit_counts() {
        let meminfo = "MemTotal:       16777216 kB\nMemFree:        1 kB\n";
        let limits = |data: &str| {
            format!(
                "Limit                     Soft Limit           Hard Limit           Units\n\
                 Max data size             {data}               unlimited            bytes\n\
                 Max address space         unlimited            unlimited            bytes\n"
            )
        };
        let all = |data: &str, groups: &[&str]| {
            least(meminfo, &limits(data), &groups.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(all("unlimited", &["max\n", ""]), 16 << 30);
        assert_eq!(all("unlimited", &["max\n", "1048576\n"]), 1 << 20);
        assert_eq!(all("65536", &["1048576\n"]), 65536);
        assert_eq!(least("", "", &[]), ASSUMED);
        assert!(memory() > 0);
    }

    #[test]
    fn a_group_is_limited_by_those_around_it() {
        assert_eq!(
            group_files("0::/a/b\n"),
            ["/a/b", "/a", ""].map(|group| format!("/sys/fs/cgroup{group}/memory.max"))
        );
        assert_eq!(
            group_files("4:cpu,memory:/\n3:cpuset:/x\n"),
            ["/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        );
    }
}
