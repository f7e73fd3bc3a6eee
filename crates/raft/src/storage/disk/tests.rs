#![allow(clippy::unwrap_used)]

use super::*;

fn names(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn what_is_not_finished_or_not_committed_leaves_nothing_behind() {
    let place = tempfile::tempdir().unwrap();
    let files = DiskFiles::open(place.path()).unwrap();
    let mut writer = files.create().unwrap();
    writer.write(b"half of it").unwrap();
    assert_eq!(names(place.path()), 1);
    drop(writer);
    assert_eq!(names(place.path()), 0, "an unfinished one");
    let mut writer = files.create().unwrap();
    writer.write(b"all of it").unwrap();
    let blob = writer.finish().unwrap();
    assert_eq!(names(place.path()), 1, "a finished one lives as long as its handle");
    drop(blob);
    assert_eq!(names(place.path()), 0);
}

#[test]
fn what_cannot_be_finished_leaves_nothing_behind() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("1.tmp");
    fs::write(&path, b"").unwrap();
    // Every write to it says that the disk is full.
    let full = fs::File::options().read(true).write(true).open("/dev/full").unwrap();
    let mut writer = Box::new(DiskWriter {
        file: io::BufWriter::with_capacity(1 << 20, full),
        temporary: Temporary(Some(path)),
        folder: place.path().to_owned(),
        length: 0,
    });
    writer.write(b"it fits the buffer").unwrap();
    assert_eq!(writer.finish().map(drop).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(names(place.path()), 0);
}

#[test]
fn an_adopted_file_takes_no_room_and_outlives_its_source() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (sources, files) = (DiskFiles::open(one.path()).unwrap(), DiskFiles::open(other.path()).unwrap());
    let mut writer = sources.create().unwrap();
    writer.write(b"content").unwrap();
    let source = writer.finish().unwrap();
    source.commit("source").unwrap();
    drop(files.adopt(&source).unwrap().unwrap());
    assert_eq!(names(other.path()), 0, "one that is not committed goes");
    let adopted = files.adopt(&source).unwrap().unwrap();
    adopted.commit("adopted").unwrap();
    let inode = |path: PathBuf| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
    assert_eq!(inode(one.path().join("source")), inode(other.path().join("adopted")));
    sources.remove("source").unwrap();
    drop((source, adopted));
    assert_eq!(files.open("adopted").unwrap().read(0, 100).unwrap(), b"content"[..]);
}
