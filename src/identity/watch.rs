//! Watches directories for changes of certificates, and says only "look again".
//!
//! Directories are watched, never files: Kubernetes swaps a link beside them, and a watch on a file ends with the file.
//! A watch may be lost or may never tell (network mounts, a limit of the kernel), so whoever listens looks at the content
//! on a timer as well; without any watch that timer does all the work. Reading the files wakes nobody, or each look would
//! cause the next. Several events may tell of one change: waiting for quiet is the listener's part.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

/// Links that are followed from one path: a circle must end.
const LINKS: usize = 16;

/// The directories being watched.
#[derive(Debug)]
pub struct Watch {
    /// `None` where the system lets nothing be watched.
    watcher: Option<RecommendedWatcher>,
    changed: Arc<Notify>,
    /// Real path → which directory it was (device and inode).
    watched: BTreeMap<PathBuf, (u64, u64)>,
    /// Said already that they cannot be watched.
    complained: BTreeSet<PathBuf>,
}

impl Watch {
    /// Watches nothing yet; every change later is a `notify_one` on `changed`.
    #[must_use]
    pub fn start(changed: Arc<Notify>) -> Self {
        let listener = changed.clone();
        let handler = move |event: notify::Result<notify::Event>| {
            // An error says that something may have been missed.
            if event.map_or(true, |event| is_change(event.kind)) {
                listener.notify_one();
            }
        };
        let watcher = notify::recommended_watcher(handler)
            .inspect_err(|error| {
                tracing::warn!(%error, "directories cannot be watched; certificates are looked at on a timer alone");
            })
            .ok();
        Self {
            watcher,
            changed,
            watched: BTreeMap::new(),
            complained: BTreeSet::new(),
        }
    }

    /// Watches these directories and no others; where a path is or leads through a link, also the place of the link. To
    /// be called at each look: what was missing, or is another directory by now, is watched from then on. A directory that
    /// is new to the watch counts as a change, since it may have changed before it was watched.
    pub fn follow(&mut self, directories: BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: BTreeMap<PathBuf, (u64, u64)> = directories.iter().flat_map(|path| places(path)).collect();
        self.watched.retain(|path, identity| {
            let stays = wanted.get(path) == Some(identity);
            if !stays {
                // Already gone where the directory is.
                let _ = watcher.unwatch(path);
            }
            stays
        });
        let mut new = false;
        for (path, identity) in wanted {
            // Again also where nothing seems to have changed: an inode's number is given to the next directory, and
            // watching what is watched does nothing.
            match watcher.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.complained.remove(&path);
                    new |= self.watched.insert(path, identity).is_none();
                }
                Err(error) if matches!(error.kind, ErrorKind::PathNotFound) => {}
                Err(error) => {
                    if self.complained.insert(path.clone()) {
                        let directory = path.display();
                        tracing::warn!(%directory, %error, "a directory cannot be watched; it is looked at on a timer alone");
                    }
                }
            }
        }
        if new {
            self.changed.notify_one();
        }
    }
}

/// Everything but opening, reading and closing what was only read.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

/// The real directories whose events tell of a change below `directory`: itself, and the place of every link on the way.
fn places(directory: &Path) -> BTreeMap<PathBuf, (u64, u64)> {
    let mut found = BTreeSet::new();
    let mut path = directory.to_owned();
    for _ in 0..LINKS {
        let link = path.ancestors().find(|part| part.is_symlink()).map(Path::to_owned);
        let Some(link) = link else { break };
        let (Some(parent), Ok(target)) = (link.parent(), fs::read_link(&link)) else {
            break;
        };
        found.extend(parent.canonicalize());
        let rest = path.strip_prefix(&link).unwrap_or(Path::new("")).to_owned();
        path = parent.join(target).join(rest);
    }
    found.extend(directory.canonicalize());
    let known = |path: PathBuf| {
        let facts = fs::metadata(&path).ok().filter(fs::Metadata::is_dir)?;
        Some((path, (facts.dev(), facts.ino())))
    };
    found.into_iter().filter_map(known).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use tempfile::TempDir;
    use tokio::time::timeout;

    use super::*;

    struct Scene {
        directory: TempDir,
        changed: Arc<Notify>,
        watch: Watch,
    }

    impl Scene {
        fn new() -> Self {
            let changed = Arc::new(Notify::new());
            Self {
                directory: tempfile::tempdir().expect("a directory"),
                watch: Watch::start(changed.clone()),
                changed,
            }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        /// Watches these, and waits until what that itself causes is over.
        async fn follow(&mut self, names: &[&str]) {
            let paths = names.iter().map(|name| self.path(name)).collect();
            self.watch.follow(paths);
            self.quiet().await;
        }

        async fn quiet(&self) {
            while timeout(Duration::from_millis(100), self.changed.notified())
                .await
                .is_ok()
            {}
        }

        #[track_caller]
        fn told(&self, of: &'static str) -> impl Future<Output = ()> {
            let told = timeout(Duration::from_secs(10), self.changed.notified());
            async move { told.await.unwrap_or_else(|_| panic!("nobody was told of {of}")) }
        }
    }

    #[tokio::test]
    async fn writing_in_place_is_a_change() {
        let mut scene = Scene::new();
        fs::write(scene.path("tls.crt"), "old").expect("written");
        scene.follow(&["."]).await;
        fs::write(scene.path("tls.crt"), "new").expect("written");
        scene.told("the new text").await;
    }

    #[tokio::test]
    async fn an_atomic_rename_is_a_change() {
        let mut scene = Scene::new();
        fs::create_dir(scene.path("tls")).expect("made");
        fs::write(scene.path("tls/tls.crt"), "old").expect("written");
        fs::write(scene.path("beside"), "new").expect("written");
        scene.follow(&["tls"]).await;
        fs::rename(scene.path("beside"), scene.path("tls/tls.crt")).expect("renamed");
        scene.told("the rename").await;
    }

    #[tokio::test]
    async fn the_swap_of_a_kubernetes_volume_is_a_change_again_and_again() {
        let mut scene = Scene::new();
        for version in ["..2026_01", "..2026_02", "..2026_03"] {
            fs::create_dir(scene.path(version)).expect("made");
            fs::write(scene.path(version).join("tls.crt"), version).expect("written");
        }
        symlink("..2026_01", scene.path("..data")).expect("linked");
        symlink("..data/tls.crt", scene.path("tls.crt")).expect("linked");
        scene.follow(&["."]).await;
        for next in ["..2026_02", "..2026_03"] {
            symlink(next, scene.path("..data_tmp")).expect("linked");
            scene.quiet().await;
            fs::rename(scene.path("..data_tmp"), scene.path("..data")).expect("swapped");
            scene.told("the swap").await;
            scene.quiet().await;
            assert_eq!(fs::read_to_string(scene.path("tls.crt")).expect("read"), next);
        }
    }

    #[tokio::test]
    async fn a_directory_that_appears_later_is_followed_and_one_that_was_made_anew_too() {
        let mut scene = Scene::new();
        scene.follow(&["later"]).await;
        for round in ["first", "second"] {
            fs::create_dir(scene.path("later")).expect("made");
            scene.watch.follow(BTreeSet::from([scene.path("later")]));
            scene.told("a directory that may have changed before").await;
            scene.quiet().await;
            fs::write(scene.path("later/tls.crt"), round).expect("written");
            scene.told("a file in it").await;
            fs::remove_dir_all(scene.path("later")).expect("removed");
            scene.quiet().await;
            scene.follow(&["later"]).await;
        }
    }

    #[tokio::test]
    async fn a_directory_replaced_between_two_looks_is_followed_as_what_it_is_now() {
        let mut scene = Scene::new();
        fs::create_dir(scene.path("tls")).expect("made");
        scene.follow(&["tls"]).await;
        fs::remove_dir(scene.path("tls")).expect("removed");
        fs::create_dir(scene.path("tls")).expect("made");
        scene.told("its end").await;
        scene.follow(&["tls"]).await;
        fs::write(scene.path("tls/tls.crt"), "new").expect("written");
        scene.told("a file in the new one").await;
    }

    #[tokio::test]
    async fn a_link_to_a_directory_is_followed_where_it_lies_and_where_it_leads() {
        let mut scene = Scene::new();
        for name in ["links", "one", "two"] {
            fs::create_dir(scene.path(name)).expect("made");
        }
        symlink("../one", scene.path("links/current")).expect("linked");
        scene.follow(&["links/current"]).await;
        fs::write(scene.path("one/tls.crt"), "x").expect("written");
        scene.told("a file where it leads").await;
        symlink("../two", scene.path("next")).expect("linked");
        scene.quiet().await;
        fs::rename(scene.path("next"), scene.path("links/current")).expect("swapped");
        scene.told("the link's change").await;
        scene.follow(&["links/current"]).await;
        fs::write(scene.path("two/tls.crt"), "x").expect("written");
        scene.told("a file where it leads now").await;
    }

    #[tokio::test]
    async fn what_is_no_longer_wanted_is_no_longer_watched() {
        let mut scene = Scene::new();
        for name in ["a", "b"] {
            fs::create_dir(scene.path(name)).expect("made");
        }
        scene.follow(&["a", "b"]).await;
        assert_eq!(scene.watch.watched.len(), 2);
        scene.follow(&["b"]).await;
        let left: Vec<_> = scene.watch.watched.keys().cloned().collect();
        assert_eq!(left, [scene.path("b").canonicalize().expect("real")]);
        fs::write(scene.path("a/tls.crt"), "x").expect("written");
        let told = timeout(Duration::from_millis(200), scene.changed.notified()).await;
        assert!(told.is_err(), "a is still watched");
    }

    #[test]
    fn reading_is_no_change_and_the_end_of_writing_is() {
        use notify::event::{ModifyKind, RenameMode};
        for kind in [
            EventKind::Access(AccessKind::Open(AccessMode::Any)),
            EventKind::Access(AccessKind::Read),
            EventKind::Access(AccessKind::Close(AccessMode::Read)),
        ] {
            assert!(!is_change(kind), "{kind:?}");
        }
        for kind in [
            EventKind::Access(AccessKind::Close(AccessMode::Write)),
            EventKind::Modify(ModifyKind::Name(RenameMode::To)),
            EventKind::Modify(ModifyKind::Any),
            EventKind::Other,
        ] {
            assert!(is_change(kind), "{kind:?}");
        }
    }

    #[test]
    fn links_that_lead_in_a_circle_lead_nowhere() {
        let directory = tempfile::tempdir().expect("a directory");
        symlink("b", directory.path().join("a")).expect("linked");
        symlink("a", directory.path().join("b")).expect("linked");
        let real = directory.path().canonicalize().expect("real");
        assert!(places(&directory.path().join("a")).keys().eq([&real]));
    }
}
