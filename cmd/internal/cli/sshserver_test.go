package cli

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// sshServer lets everybody in and knows a handful of commands.
type sshServer struct {
	listener net.Listener
	config   *ssh.ServerConfig
	wait     sync.WaitGroup
}

func newSSHServer() (*sshServer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, err
	}
	s := &sshServer{config: &ssh.ServerConfig{
		PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil },
	}}
	s.config.AddHostKey(signer)
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	s.wait.Add(1)
	go func() {
		defer s.wait.Done()
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return s, nil
}

func (s *sshServer) port() string {
	return strconv.Itoa(s.listener.Addr().(*net.TCPAddr).Port)
}

func (s *sshServer) close() {
	_ = s.listener.Close()
	s.wait.Wait()
}

func (s *sshServer) serve(conn net.Conn) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for c := range channels {
		if c.ChannelType() != "session" {
			_ = c.Reject(ssh.UnknownChannelType, "sessions only")
			continue
		}
		ch, requests, err := c.Accept()
		if err != nil {
			return
		}
		go session(ch, requests)
	}
}

func session(ch ssh.Channel, requests <-chan *ssh.Request) {
	defer ch.Close()
	tty := ""
	for r := range requests {
		switch r.Type {
		case "pty-req":
			tty = " on a terminal"
		case "exec", "shell":
			_ = r.Reply(true, nil)
			command := ""
			if r.Type == "exec" {
				var payload struct{ Command string }
				_ = ssh.Unmarshal(r.Payload, &payload)
				command = payload.Command
			}
			code := perform(ch, command, tty)
			_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{uint32(code)}))
			return
		}
		_ = r.Reply(true, nil)
	}
}

// perform runs one of the commands that this host knows.
func perform(ch ssh.Channel, command, tty string) int {
	word, rest, _ := strings.Cut(command, " ")
	switch word {
	case "":
		fmt.Fprintf(ch, "shell%s\n", tty)
	case "say":
		fmt.Fprintln(ch, rest)
	case "lines":
		fmt.Fprint(ch, "one\ntwo\nthree")
	case "complain":
		fmt.Fprintln(ch.Stderr(), rest)
	case "echo-stdin":
		_, _ = io.Copy(ch, ch)
	case "exit":
		code, _ := strconv.Atoi(rest)
		return code
	default:
		fmt.Fprintf(ch.Stderr(), "%s: not found\n", word)
		return 127
	}
	return 0
}
