//go:build !linux

package process

import "net"

// holdPort has no claim that the rank would not trip over: another program may take the port in between.
func holdPort() (*Port, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return &Port{l.Addr().(*net.TCPAddr).Port, nil}, nil
}
