//! Allocations of the pure parts of the way of a request: a count does not depend on the machine, so it is a test.
//!
//! What every request goes through allocates nothing once its buffers have their size. Programs and the comparison do,
//! and no more than stands beside them (`benches/parts`).

#[path = "../benches/parts/mod.rs"]
mod parts;

use std::alloc::System;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One test counts at a time: the count is the process's.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs within one count.
const RUNS: usize = 8;
/// Counts of which the least is taken: a buffer that grew, or the test's own threads, may be in one.
const COUNTS: usize = 8;

/// Allocations of one run in steady state.
fn counted(run: &mut dyn FnMut()) -> usize {
    // The access line's buffer has grown to its size by then.
    for _ in 0..64 {
        run();
    }
    let once = |run: &mut dyn FnMut()| {
        let region = Region::new(COUNTING);
        for _ in 0..RUNS {
            run();
        }
        let change = region.change();
        change.allocations + change.reallocations
    };
    let least = (0..COUNTS).map(|_| once(run)).min().unwrap_or_default();
    least.div_ceil(RUNS)
}

#[test]
fn no_part_allocates_more_than_stands_in_its_row() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut problems = Vec::new();
    let parts = parts::all();
    assert!(parts.len() > 40, "only {} parts", parts.len());
    for mut part in parts {
        let (row, found) = (part.row, counted(&mut *part.run));
        println!("{:<45} {found}", row.name);
        if found > row.allocations {
            problems.push(format!(
                "{}: {found} allocations in a run, {} in its row",
                row.name, row.allocations
            ));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_count_sees_one_allocation_in_a_run() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut kept = Vec::new();
    let found = counted(&mut || kept = std::hint::black_box(vec![1u8; 100]));
    assert_eq!(found, 1);
}

#[test]
fn performance_md_has_the_row_of_every_part_and_no_other() {
    let page = include_str!("../docs/performance.md");
    let (_, table) = page.split_once("\n| part |").expect("the table is there");
    let documented: BTreeSet<(&str, &str, &str)> = table
        .lines()
        .skip(2)
        .map_while(|line| line.strip_prefix("| `"))
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim_end_matches(" |").split(" | ").collect();
            Some((cells.first()?.trim_end_matches('`'), *cells.get(3)?, *cells.get(4)?))
        })
        .collect();
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let rows: Vec<_> = parts::all().into_iter().map(|part| part.row).collect();
    let rows: Vec<_> = rows
        .iter()
        .map(|row| (row.name, row.worry.to_string(), row.allocations.to_string()))
        .collect();
    let expected = rows
        .iter()
        .map(|(name, worry, count)| (*name, worry.as_str(), count.as_str()));
    assert_eq!(documented, expected.collect());
}
