//! Two sessions that talk to each other in memory, over a scripted store and a virtual clock.
