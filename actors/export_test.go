package actors

// Credits is how many messages of a worker may wait for its actor.
const Credits = credits

// Burst is how many facts of one kind are told at once.
const Burst = burst
