package python_test

import (
	"fmt"

	"github.com/go-muster/muster/transport/worker/python"
)

func ExampleArgs() {
	argv := python.Args("train.py", "--lr", "0.1")
	fmt.Println(argv[0], argv[len(argv)-4:])
	// Output: python3 [file train.py --lr 0.1]
}

func ExampleInject() {
	argv, ok := python.Inject([]string{"python3", "-u", "-m", "pkg.train", "--lr", "0.1"})
	fmt.Println(ok, argv[:2], argv[len(argv)-4:])

	_, ok = python.Inject([]string{"./simulate", "--steps", "100"})
	fmt.Println(ok)
	// Output:
	// true [python3 -u] [module pkg.train --lr 0.1]
	// false
}
