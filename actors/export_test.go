package actors

// Credits is how many messages of a worker may wait for its actor.
const Credits = credits
