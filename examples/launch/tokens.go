package main

// tokenVariable is where an agent finds its join token, if not on its command line, where everybody can read it.
const tokenVariable = "LAUNCH_TOKEN"
