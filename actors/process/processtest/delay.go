package processtest

import "time"

// Delay waits for a time that is what a test is about: a slow reader, a random moment for something to go wrong. It never stands
// for "by then it will have happened", for which there is Eventually.
func Delay(d time.Duration) { <-time.After(d) }
