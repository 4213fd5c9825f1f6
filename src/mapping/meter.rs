//! What a run may spend: steps, bytes, nesting and stack; no clock.
//!
//! The meter of a thread is set when a run begins. The interpreter pays a step for every term it evaluates, values pay
//! for the size of what they build, copy or compare. A run that has spent its bounds is left by unwinding, so that
//! nothing in the language (`try`, `?`, `//`) can keep it going; `resume_unwind` calls no panic hook, and the values that
//! are dropped on the way are ordinary ones. Steps and bytes are counted alike in every build and on every machine; the
//! stack is measured, and its limit is what no sensible program comes near.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::ptr;

#[cfg(not(panic = "unwind"))]
compile_error!("a mapping that has spent its bounds is left by unwinding: build with panic = \"unwind\"");

/// How much stack a run may take: half of what the smallest thread here has.
const STACK: usize = 1024 * 1024;

/// How deep a value may nest: as deep as `serde_json` reads one, so that nothing overflows when it is dropped.
pub(super) const DEEPEST: u32 = 100;

/// Bounds of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Terms evaluated and items moved.
    pub steps: u64,
    /// Bytes of everything that is built on the way, taken together; the output is part of it.
    pub bytes: usize,
}

impl Default for Bounds {
    /// Some tens of milliseconds at most, where a usual mapping takes some tens of microseconds.
    fn default() -> Self {
        Self {
            steps: 250_000,
            bytes: 16 * 1024 * 1024,
        }
    }
}

/// Why a run was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spent {
    Steps,
    Bytes,
    Nesting,
    Stack,
}

#[derive(Clone, Copy)]
struct Meter {
    steps: u64,
    bytes: usize,
    /// Address of a local at the beginning of the run.
    base: usize,
    /// The run is being left.
    left: bool,
}

/// Outside of a run nothing is bounded: compiling a program builds no values.
const IDLE: Meter = Meter {
    steps: u64::MAX,
    bytes: usize::MAX,
    base: 0,
    left: false,
};

thread_local! {
    static METER: Cell<Meter> = const { Cell::new(IDLE) };
}

/// How a metered piece of work ended otherwise than by itself.
pub(super) enum Left {
    Spent(Spent),
    /// The interpreter panicked: a defect, said without its words, which may quote a value.
    Panicked,
}

/// Runs `work` within the bounds.
pub(super) fn within<T>(bounds: &Bounds, work: impl FnOnce() -> T) -> Result<T, Left> {
    let here = 0u8;
    let before = METER.replace(Meter {
        steps: bounds.steps,
        bytes: bounds.bytes,
        base: ptr::from_ref(&here).addr(),
        left: false,
    });
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    METER.set(before);
    done.map_err(|payload| {
        payload
            .downcast::<Spent>()
            .map_or(Left::Panicked, |spent| Left::Spent(*spent))
    })
}

/// Pays for `n` steps.
pub(super) fn steps(n: u64) {
    let meter = METER.get();
    match meter.steps.checked_sub(n) {
        Some(steps) => METER.set(Meter { steps, ..meter }),
        None => leave(Spent::Steps),
    }
}

/// Pays for `n` bytes that are about to be built, and for the work of building them.
pub(super) fn bytes(n: usize) {
    let meter = METER.get();
    match meter.bytes.checked_sub(n) {
        Some(bytes) => METER.set(Meter { bytes, ..meter }),
        None => leave(Spent::Bytes),
    }
    read(n);
}

/// Pays for reading `n` bytes.
pub(super) fn read(n: usize) {
    steps(n as u64 / 256);
}

/// Pays for one evaluated term, and sees to the stack.
pub(super) fn term() {
    steps(1);
    let here = 0u8;
    let base = METER.get().base;
    if base != 0 && base.abs_diff(ptr::from_ref(&here).addr()) > STACK {
        leave(Spent::Stack);
    }
}

/// Leaves the run. Nothing pays while values are dropped; if something did, it would not unwind twice.
pub(super) fn leave(spent: Spent) {
    let meter = METER.get();
    if !meter.left {
        METER.set(Meter { left: true, ..meter });
        panic::resume_unwind(Box::new(spent));
    }
}
