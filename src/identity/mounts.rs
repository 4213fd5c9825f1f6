//! Files that cannot change while the process runs: Kubernetes `subPath` mounts, and single files bound into a container.
//!
//! A secret's volume is replaced by a new `..2024_…` directory and a swapped link; a `subPath` mount was bound to what
//! lay in the old directory and stays with it for ever. Nobody is told: the pod serves until the old certificate ends. The
//! kernel's list of mounts shows it (proc_pid_mountinfo(5)): the mount's root names the dated directory, or the mount
//! point is the file itself, and `//deleted` once the original is gone.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

/// What the kernel puts behind the root of a mount whose original was removed.
const DELETED: &[u8] = b"//deleted";
/// Where the kubelet binds each `subPath` before a container gets it.
const KUBELET: &str = "volume-subpaths";

/// A mount that keeps a file as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubPath {
    pub file: PathBuf,
    pub mount_point: PathBuf,
    /// Of what it was made, within its file system.
    pub root: PathBuf,
    /// The original is gone: something newer exists already, and cannot be seen from here.
    pub deleted: bool,
    /// From a Kubernetes volume; else a single file that was bound into the container.
    pub volume: bool,
}

impl fmt::Display for SubPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, point) = (self.file.display(), self.mount_point.display());
        if self.volume {
            write!(
                f,
                "{file} lies on a subPath mount ({point}), which never receives an update"
            )?;
        } else {
            write!(
                f,
                "{file} was mounted as a single file: a file put in the original's place is never seen here"
            )?;
        }
        if self.deleted {
            f.write_str("; the original has been replaced already")?;
        }
        f.write_str("; mount the whole directory (no subPath) and restart the pod")
    }
}

/// Whether `file` lies on such a mount now. `None` also where there is no `/proc`.
#[must_use]
pub fn here(file: &Path) -> Option<SubPath> {
    let mountinfo = std::fs::read("/proc/self/mountinfo").ok()?;
    // Mount points are real paths; the file itself may be missing.
    let real = file.canonicalize().ok().or_else(|| {
        let directory = file.parent()?.canonicalize().ok()?;
        Some(directory.join(file.file_name()?))
    });
    let found = sub_path(&String::from_utf8_lossy(&mountinfo), real.as_deref().unwrap_or(file))?;
    Some(SubPath {
        file: file.to_owned(),
        ..found
    })
}

/// The same over the text of a `mountinfo`; `file` without symbolic links.
#[must_use]
pub fn sub_path(mountinfo: &str, file: &Path) -> Option<SubPath> {
    let mount = mountinfo
        .lines()
        .filter_map(Mount::read)
        .filter(|mount| file.starts_with(&mount.point))
        // The innermost; of several at one point the last covers the others: `max_by_key` keeps the last.
        .max_by_key(|mount| mount.point.components().count())?;
    let volume = mount.root.components().any(|part| is_dated(part) || is_kubelets(part));
    let single = mount.point == file;
    (volume || single).then(|| SubPath {
        file: file.to_owned(),
        mount_point: mount.point,
        root: mount.root,
        deleted: mount.deleted,
        volume,
    })
}

/// `..2024_05_01_12_00_00.123456789`: where the kubelet writes one version of a secret or config map.
fn is_dated(part: Component<'_>) -> bool {
    let Component::Normal(name) = part else { return false };
    let name = name.as_encoded_bytes();
    let date = name.strip_prefix(b"..").and_then(|rest| rest.get(..8));
    date.is_some_and(|date| {
        let digit = |at: usize| date[at].is_ascii_digit();
        [0, 1, 2, 3, 5, 6].into_iter().all(digit) && date[4] == b'_' && date[7] == b'_'
    })
}

fn is_kubelets(part: Component<'_>) -> bool {
    part.as_os_str() == KUBELET
}

struct Mount {
    root: PathBuf,
    point: PathBuf,
    deleted: bool,
}

impl Mount {
    /// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw`: the fourth and the fifth field.
    fn read(line: &str) -> Option<Self> {
        let mut fields = line.split(' ').skip(3);
        let mut root = decoded(fields.next()?);
        let point = decoded(fields.next()?);
        let deleted = root.ends_with(DELETED);
        if deleted {
            root.truncate(root.len() - DELETED.len());
        }
        let path = |bytes| PathBuf::from(OsString::from_vec(bytes));
        Some(Self {
            root: path(root),
            point: path(point),
            deleted,
        })
    }
}

/// Blank, tab, line feed and backslash are written as `\040`, `\011`, `\012`, `\134`.
fn decoded(field: &str) -> Vec<u8> {
    let mut rest = field.as_bytes();
    let mut out = Vec::with_capacity(rest.len());
    while let Some((&first, after)) = rest.split_first() {
        let escaped = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                Some((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'))
            }
            _ => None,
        };
        out.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &rest[4..] } else { after };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a container of a pod sees, in the shapes of real ones (containerd, docker, CRI-O), shortened.
    const POD: &str = "\
757 605 0:139 / / rw,relatime master:180 - overlay overlay rw,lowerdir=/var/lib/containerd/snapshots/25/fs
758 757 0:143 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
769 757 259:16 /var/lib/kubelet/pods/7f0c2a/volumes/kubernetes.io~empty-dir/html /html rw - ext4 /dev/nvme1n1p1 rw
770 757 259:16 /var/lib/kubelet/pods/7f0c2a/volumes/kubernetes.io~configmap/trust /trust ro,relatime - ext4 /dev/nvme1n1p1 rw
772 757 259:16 /var/lib/kubelet/pods/7f0c2a/etc-hosts /etc/hosts rw,nosuid,nodev,noatime - ext4 /dev/nvme1n1p1 rw,seclabel
781 757 0:98 / /run/secrets/kubernetes.io/serviceaccount ro,relatime - tmpfs tmpfs rw,seclabel,size=3380568k
790 757 0:99 / /identity ro,relatime - tmpfs tmpfs rw,size=3380568k
791 757 0:100 /..2026_03_09_10_11_12.1057330437/tls.crt /single/tls.crt ro,relatime - tmpfs tmpfs rw,size=3380568k
792 757 0:100 /..2026_03_09_10_11_12.1057330437/tls.key//deleted /single/tls.key ro,relatime - tmpfs tmpfs rw
793 757 259:16 /var/lib/kubelet/pods/7f0c2a/volumes/kubernetes.io~configmap/trust/..2023_06_28_15_37_47.388872689/ca.crt /ca/ca.crt ro - ext4 /dev/sda1 rw
794 757 259:16 /var/lib/kubelet/pods/7f0c2a/volumes/kubernetes.io~projected/all/..2023_05_29_08_16_36.1470493620/client /client ro - ext4 /dev/sda1 rw
795 757 0:120 /pods/7f0c2a/volume-subpaths/identity/sidecar/1 /kata ro - virtiofs none rw
796 757 8:1 /home/me/certs/my\\040own.crt /with\\040blank/a\\134b.crt rw,relatime - ext4 /dev/sda1 rw
797 757 0:101 / /covered ro,relatime - tmpfs tmpfs rw
798 757 0:102 /..2026_03_09_10_11_12.2 /covered ro,relatime - tmpfs tmpfs rw
";

    #[track_caller]
    fn found(file: &str) -> SubPath {
        sub_path(POD, Path::new(file)).unwrap_or_else(|| panic!("{file} is on such a mount"))
    }

    #[test]
    fn whole_directories_are_updated_whatever_their_volume() {
        for file in [
            "/identity/tls.crt",
            "/identity/..2026_03_09_10_11_12.1/tls.crt",
            "/trust/ca.crt",
            "/html/tls.crt",
            "/run/secrets/kubernetes.io/serviceaccount/token",
            "/etc/ssl/tls.crt",
            "/single/other.crt",
            "relative.crt",
        ] {
            assert_eq!(sub_path(POD, Path::new(file)), None, "{file}");
        }
    }

    #[test]
    fn a_key_of_a_secret_mounted_by_sub_path_is_found_also_when_its_original_is_gone() {
        let certificate = found("/single/tls.crt");
        assert!(certificate.volume && !certificate.deleted);
        assert_eq!(certificate.root, Path::new("/..2026_03_09_10_11_12.1057330437/tls.crt"));
        let key = found("/single/tls.key");
        assert!(key.volume && key.deleted);
        assert_eq!(key.root, Path::new("/..2026_03_09_10_11_12.1057330437/tls.key"));
    }

    #[test]
    fn config_maps_projected_directories_and_the_kubelets_own_place_are_known() {
        assert!(found("/ca/ca.crt").volume);
        let inside = found("/client/deeper/tls.crt");
        assert!(inside.volume && inside.mount_point == Path::new("/client"));
        assert!(found("/kata/tls.crt").volume);
    }

    #[test]
    fn a_single_file_bound_into_the_container_is_found_and_escapes_are_read() {
        let bound = found("/with blank/a\\b.crt");
        assert!(!bound.volume && bound.root == Path::new("/home/me/certs/my own.crt"));
        assert!(!found("/etc/hosts").volume);
    }

    #[test]
    fn the_mount_on_top_counts() {
        assert!(found("/covered/tls.crt").volume);
        let swapped: String = POD.lines().rev().flat_map(|line| [line, "\n"]).collect();
        assert_eq!(sub_path(&swapped, Path::new("/covered/tls.crt")), None);
    }

    #[test]
    fn what_is_no_mountinfo_is_not_misread() {
        for text in [
            "",
            "\n\n",
            "36 35",
            "36 35 98:0 /a",
            "a b c d e f g h",
            "1 2 3 \\04 \\4",
        ] {
            assert_eq!(sub_path(text, Path::new("/tls.crt")), None, "{text}");
        }
        assert_eq!(decoded("\\04x\\777\\"), b"\\04x\\777\\");
    }

    #[test]
    fn only_the_kubelets_dates_are_dates() {
        for (name, dated) in [
            ("..2026_03_09_10_11_12.1", true),
            ("..2026_03_", true),
            ("..data", false),
            ("..20260309", false),
            ("2026_03_09_10_11_12.1", false),
            ("..2026-03-09", false),
            ("..", false),
        ] {
            let part = Path::new(name).components().next().expect("a part");
            assert_eq!(is_dated(part), dated, "{name}");
        }
    }

    #[test]
    fn the_sentence_says_which_file_why_and_what_to_do() {
        let said = found("/single/tls.key").to_string();
        for part in [
            "/single/tls.key",
            "subPath",
            "never",
            "replaced already",
            "whole directory",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(found("/etc/hosts").to_string().contains("single file"));
    }

    #[test]
    fn an_ordinary_file_of_this_machine_is_on_none() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("tls.crt");
        assert_eq!(here(&file), None, "missing");
        std::fs::write(&file, "x").expect("written");
        assert_eq!(here(&file), None, "there");
    }
}
