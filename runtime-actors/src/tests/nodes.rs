//! Each actor through its message handlers, with a probe in place of the framework.
