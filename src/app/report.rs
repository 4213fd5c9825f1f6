//! shim
use super::build::News;
pub(super) fn status<A, B>(_a: &A, _b: &B) {}
pub(super) fn news(news: &[News], _m: &crate::telemetry::metrics::Metrics, _r: &crate::lifecycle::Readiness) {
    for n in news {
        eprintln!("{n:?}");
    }
}
pub(super) fn own_certificate(
    _p: &crate::identity::store::Pair,
    _a: &[rustls_pki_types::CertificateDer<'static>],
    _m: &crate::telemetry::metrics::Metrics,
) {
}
