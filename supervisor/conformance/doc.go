// Package conformance holds the behaviour of the whole, with real processes, against what torch.multiprocessing.spawn is
// tested for, and against what that suite leaves out. It has tests only.
//
// A test is named after its row: S01 to S16 are the cases of PyTorch's test/test_multiprocessing_spawn.py, in its order;
// the two that are disabled there (S09, S12) run here. Each row runs in every launch mode: a registered function of this
// binary, an external command, and a Python script whose exceptions travel.
//
//	S01  success                                 S09  nested groups; a supervisor that dies
//	S02  a wait that does not block              S10  the type of a raised exception
//	S03  a rank knows its place                  S11  the type of a death by a stranger's signal
//	S04  one rank raises                         S12  an exit code
//	S05  all ranks raise                         S15  errors survive the wire
//	S06  a rank kills itself                     S16  an interrupt of one rank
//	S07  the others are stopped, or linger
//	S08  one rank succeeds, then another raises
//
// After each test nothing may be left: goroutines, descriptors, zombies, descendants; and the events of each group are held
// against the invariants G-1, G-2 and G-4 of docs/design.md.
package conformance
