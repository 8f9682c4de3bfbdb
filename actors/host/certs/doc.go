// Package certs makes and loads what hosts know each other by: a CA, a certificate for each host, and join tokens.
//
// [Create] writes a directory with the CA, and one directory in it for each host, to be copied to it. [Load] reads the latter.
// The directory of the CA stays where it is: who has ca-key.pem can be any host.
//
//	certs/ca.pem  certs/ca-key.pem
//	certs/a/ca.pem  certs/a/cert.pem  certs/a/key.pem
package certs
