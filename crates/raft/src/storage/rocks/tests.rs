#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use rand::Rng;

use super::*;

fn running(kv: &RocksKv) -> u64 {
    kv.with(|db| Ok(db.property_int_value("rocksdb.num-running-compactions").unwrap().unwrap())).unwrap()
}

#[test]
fn a_close_cuts_a_compaction_short() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("db");
    let kv = Arc::new(RocksKv::open(&path).unwrap());
    // Keys without order and values without pattern: to compact them, all must be written anew.
    for _ in 0..50 {
        let put = |_| {
            let value: Vec<u8> = (0..1_000).map(|_| rand::random()).collect();
            Op::Put(Family::History, rand::rng().random::<u64>().to_be_bytes().to_vec(), value.into())
        };
        kv.write((0..1_000).map(put).collect()).unwrap();
    }
    kv.write(vec![Op::Put(Family::Meta, b"kept".to_vec(), Bytes::from_static(b"so"))]).unwrap();
    kv.sync().unwrap();
    let compacting = {
        let kv = kv.clone();
        std::thread::spawn(move || kv.reclaim(Family::History, &[0; 8], &[0xff; 8]))
    };
    while running(&kv) == 0 && !compacting.is_finished() {
        std::thread::yield_now();
    }
    let early = compacting.is_finished();
    kv.close();
    let result = compacting.join().unwrap();
    assert!(early || result.is_err(), "it is not taken for done");
    let kv = RocksKv::open(&path).unwrap();
    assert_eq!(kv.get(Family::Meta, b"kept").unwrap().unwrap(), b"so"[..]);
    kv.close();
}
