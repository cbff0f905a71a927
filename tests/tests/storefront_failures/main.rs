//! The five ways in which "it eventually happens" goes wrong, each on the shop as a process, each with a control: the same
//! check on a variant that is broken on purpose fails.

mod duplicates;
mod implicit;
mod operator;
mod slow;
mod twice;
mod world;
