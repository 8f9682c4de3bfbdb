//go:build !unix

package transport

import (
	"errors"
	"fmt"
	"os"
)

func pair() (parent, child *os.File, err error) {
	return nil, nil, fmt.Errorf("transport: an inherited socket pair: %w", errors.ErrUnsupported)
}
