//go:build !unix

package process

import "os"

func readReady(f *os.File, take func([]byte)) error {
	buf := chunks.Get().(*[]byte)
	defer chunks.Put(buf)
	n, err := f.Read(*buf)
	if n > 0 {
		take((*buf)[:n])
		return nil
	}
	return err
}

func readNow(*os.File, func([]byte)) (int, error) { return 0, nil }

func readBuffered(*os.File, []byte) (int, error) { return 0, nil }
