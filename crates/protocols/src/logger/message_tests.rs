//! Every message in every dialect, and everything that devices get wrong.
