//! The ways in which certificate files change under a running program, all three as they happen in the field.
//!
//! - in place: somebody copies over the files, one after the other; in between they do not fit together;
//! - rename: each file is replaced whole by one that was written beside it;
//! - swap: Kubernetes writes a new directory and swaps the link `..data` to it, all files at once.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::Path;

use crate::cert::issue::Issued;

/// File names of a Kubernetes TLS secret, and of a trust bundle and a list of revoked certificates.
pub const CERTIFICATE: &str = "tls.crt";
pub const KEY: &str = "tls.key";
pub const BUNDLE: &str = "ca.crt";
pub const REVOKED: &str = "revoked.crl";

/// Name and content of a file.
pub type File<'a> = (&'static str, &'a str);

/// A certificate with its key, as files.
#[must_use]
pub fn pair(issued: &Issued) -> [File<'_>; 2] {
    [(CERTIFICATE, &issued.chain_pem), (KEY, issued.key_pem.expose())]
}

/// Writes over what is there, through links.
pub fn in_place(directory: &Path, (name, content): File<'_>) -> io::Result<()> {
    write(&directory.join(name), content)
}

/// Replaces each file whole; a link is replaced by a file.
pub fn rename(directory: &Path, files: &[File<'_>]) -> io::Result<()> {
    for (name, content) in files {
        let new = directory.join(format!(".{name}.new"));
        write(&new, content)?;
        fs::rename(&new, directory.join(name))?;
    }
    Ok(())
}

/// Puts a new directory in place of the one that `..data` leads to, and makes the links beside it where they are missing.
pub fn swap(directory: &Path, files: &[File<'_>]) -> io::Result<()> {
    let data = directory.join("..data");
    let before = fs::read_link(&data).ok();
    let number = (0..u32::MAX)
        .map(|number| format!("..{number}"))
        .find(|name| !directory.join(name).exists())
        .ok_or(io::ErrorKind::AlreadyExists)?;
    fs::DirBuilder::new().mode(0o700).create(directory.join(&number))?;
    for (name, content) in files {
        write(&directory.join(&number).join(name), content)?;
    }
    link(&number, &data)?;
    for (name, _) in files {
        if !directory.join(name).is_symlink() {
            link(&format!("..data/{name}"), &directory.join(name))?;
        }
    }
    before.map_or(Ok(()), |before| fs::remove_dir_all(directory.join(before)))
}

/// A link, in one step, whatever stood there.
fn link(to: &str, at: &Path) -> io::Result<()> {
    let mut new = at.as_os_str().to_owned();
    new.push("_tmp");
    symlink(to, &new)?;
    fs::rename(&new, at)
}

fn write(file: &Path, content: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    options.open(file)?.write_all(content.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_leaves_the_new_content_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let read = |name: &str| fs::read_to_string(path.join(name)).unwrap();
        let names = || {
            let names = fs::read_dir(path).unwrap().flatten();
            let mut names: Vec<_> = names.map(|entry| entry.file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        swap(path, &[(CERTIFICATE, "c1"), (KEY, "k1")]).unwrap();
        assert_eq!((read(CERTIFICATE), read(KEY)), ("c1".to_owned(), "k1".to_owned()));
        swap(path, &[(CERTIFICATE, "c2"), (KEY, "k2")]).unwrap();
        assert_eq!((read(CERTIFICATE), read(KEY)), ("c2".to_owned(), "k2".to_owned()));
        assert_eq!(names(), ["..1", "..data", CERTIFICATE, KEY]);
        in_place(path, (CERTIFICATE, "c3")).unwrap();
        assert_eq!(read("..data/tls.crt"), "c3", "written through the link");
        rename(path, &[(CERTIFICATE, "c4")]).unwrap();
        assert_eq!(
            (read(CERTIFICATE), read("..data/tls.crt")),
            ("c4".to_owned(), "c3".to_owned())
        );
        swap(path, &[(CERTIFICATE, "c5"), (KEY, "k5")]).unwrap();
        assert_eq!(read(CERTIFICATE), "c5");
        assert_eq!(names(), ["..0", "..data", CERTIFICATE, KEY]);
    }
}
