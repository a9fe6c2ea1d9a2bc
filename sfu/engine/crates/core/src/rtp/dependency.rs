//! Dependency descriptor header extension (AV1 RTP specification, appendix A).
