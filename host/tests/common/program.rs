//! Random programs: traced as a graph and computed as plain arrays at once.
