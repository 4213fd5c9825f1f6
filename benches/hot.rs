//! Times of the pure parts of the way of a request (`parts`): `cargo bench --bench hot [-- FILTER]`.
//!
//! A time says little on another machine, or on this one at another hour. So every sample is followed by the yardstick,
//! and what is held against a bound is the median of their ratios. At the end stands the table of docs/performance.md;
//! a part above its bound is named, and the exit code is 1.

mod parts;

use std::cell::RefCell;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use criterion::Criterion;

use parts::{Part, Row};

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A sample shorter than this belongs to the warm-up, or to `--test`: the clock would be in it.
const SHORTEST: Duration = Duration::from_millis(1);

fn main() -> ExitCode {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(40)
        .nresamples(10_000)
        .configure_from_args();
    let measured: Vec<(Row, Samples)> = parts::all()
        .into_iter()
        .map(|part| (part.row, measure(&mut criterion, part)))
        .collect();
    criterion.final_summary();
    report(measured)
}

/// What was measured of one part.
#[derive(Debug, Default)]
struct Samples {
    nanoseconds: Vec<f64>,
    ratios: Vec<f64>,
}

fn measure(criterion: &mut Criterion, mut part: Part) -> Samples {
    let samples = RefCell::new(Samples::default());
    criterion.bench_function(part.row.name, |bencher| {
        bencher.iter_custom(|runs| {
            let start = Instant::now();
            for _ in 0..runs {
                (part.run)();
            }
            let taken = start.elapsed();
            if taken >= SHORTEST {
                let each = taken.as_secs_f64() * 1e9 / runs as f64;
                let mut samples = samples.borrow_mut();
                samples.nanoseconds.push(each);
                samples.ratios.push(each / pace());
            }
            taken
        });
    });
    samples.into_inner()
}

/// What every figure is a multiple of, because times differ from machine to machine and from hour to hour: a sum over
/// 1 KiB in which each step waits for the one before (FNV-1a). It is the pace of one core, whatever its vector units and
/// caches are.
fn yardstick(bytes: &[u8; 1024]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Nanoseconds that the yardstick takes now.
fn pace() -> f64 {
    const RUNS: u32 = 400;
    let bytes = [0x5a; 1024];
    let start = Instant::now();
    for _ in 0..RUNS {
        black_box(yardstick(black_box(&bytes)));
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(RUNS)
}

fn report(measured: Vec<(Row, Samples)>) -> ExitCode {
    let measured: Vec<_> = measured
        .into_iter()
        .filter(|(_, samples)| !samples.ratios.is_empty())
        .collect();
    if measured.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("| part | median | in yardsticks | worry above | allocations |\n|---|---|---|---|---|");
    let mut above = Vec::new();
    for (row, samples) in measured {
        let ratio = median(samples.ratios);
        let mark = if ratio > row.worry { " ABOVE ITS BOUND" } else { "" };
        println!(
            "| `{}` | {} | {ratio:.3}{mark} | {} | {} |",
            row.name,
            shown(median(samples.nanoseconds)),
            row.worry,
            row.allocations
        );
        if ratio > row.worry {
            above.push(row.name);
        }
    }
    println!("\nThe yardstick: FNV-1a over 1 KiB, {} now.", shown(pace()));
    if above.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("above their bounds: {}", above.join(", "));
    ExitCode::FAILURE
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

fn shown(nanoseconds: f64) -> String {
    match nanoseconds {
        short if short < 1e3 => format!("{short:.0} ns"),
        middle if middle < 1e6 => format!("{:.1} µs", middle / 1e3),
        long => format!("{:.2} ms", long / 1e6),
    }
}
