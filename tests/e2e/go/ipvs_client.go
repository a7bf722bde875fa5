// A program in Go that drives IPVS by netlink messages of its own, as the libraries of kube-proxy and
// Docker do: one socket for all requests, bound, with timeouts; it wants the sender's address with
// each answer, and its own port number in it.
//
//	ipvs_client COMMAND...   each of add-service, delete-service, add-server, delete-server, list,
//	                         flush, with its values after colons: add-service:tcp/10.0.0.1/80/rr
//
// `list` prints lines as `ipvsadm -S -n` does.
package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"sort"
	"strconv"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
)

const (
	getFamily                                                                    = 3
	familyId, familyName                                                         = 1, 2
	newService, deleteService, getService, newDest, deleteDest, getDest, flushes = 1, 3, 4, 5, 7, 8, 17
	service, dest                                                                = 1, 2
	// Of a service.
	addressFamily, protocol, address, port, scheduler, flags, timeout, netmask = 1, 2, 3, 4, 6, 7, 8, 9
	// Of a server.
	destAddress, destPort, method, weight, upper, lower = 1, 2, 3, 4, 5, 6
)

// genlmsghdr
type header struct{ command, version byte }

func (h header) Len() int          { return 4 }
func (h header) Serialize() []byte { return []byte{h.command, h.version, 0, 0} }

type client struct {
	socket *nl.NetlinkSocket
	family int
}

func (c *client) ask(family, command, flags int, attributes ...*nl.RtAttr) ([][]byte, error) {
	request := nl.NewNetlinkRequest(family, flags)
	request.AddData(header{byte(command), 1})
	for _, attribute := range attributes {
		request.AddData(attribute)
	}
	if err := c.socket.Send(request); err != nil {
		return nil, err
	}
	own, err := c.socket.GetPid()
	if err != nil {
		return nil, err
	}
	var answers [][]byte
	for {
		messages, from, err := c.socket.Receive()
		if err != nil {
			return nil, err
		}
		if from.Pid != nl.PidKernel {
			return nil, fmt.Errorf("an answer of %d, not of the kernel", from.Pid)
		}
		for _, m := range messages {
			if m.Header.Seq != request.Seq || m.Header.Pid != own {
				return nil, fmt.Errorf("an answer to %d/%d, not %d/%d", m.Header.Pid, m.Header.Seq, own, request.Seq)
			}
			switch m.Header.Type {
			case syscall.NLMSG_DONE:
				return answers, nil
			case syscall.NLMSG_ERROR:
				if status := int32(nl.NativeEndian().Uint32(m.Data)); status != 0 {
					return nil, syscall.Errno(-status)
				}
				return answers, nil
			}
			answers = append(answers, m.Data[4:])
		}
	}
}

func attributes(data []byte) map[uint16][]byte {
	found := map[uint16][]byte{}
	parsed, err := nl.ParseRouteAttr(data)
	check(err)
	for _, attribute := range parsed {
		found[attribute.Attr.Type&^(1<<15)] = attribute.Value
	}
	return found
}

func connect() *client {
	socket, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), syscall.NETLINK_GENERIC)
	check(err)
	limit := syscall.NsecToTimeval(3e9)
	check(syscall.SetsockoptTimeval(socket.GetFd(), syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &limit))
	check(syscall.SetsockoptTimeval(socket.GetFd(), syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, &limit))
	c := &client{socket, 0}
	answers, err := c.ask(nl.GENL_ID_CTRL, getFamily, syscall.NLM_F_ACK, nl.NewRtAttr(familyName, nl.ZeroTerminated("IPVS")))
	check(err)
	c.family = int(nl.NativeEndian().Uint16(attributes(answers[0])[familyId]))
	return c
}

func bigEndian(number uint16) []byte { return []byte{byte(number >> 8), byte(number)} }

// 16 bytes, and the address family.
func addressOf(text string) ([]byte, uint16) {
	ip := net.ParseIP(text)
	if four := ip.To4(); four != nil {
		return append(append([]byte{}, four...), make([]byte, 12)...), syscall.AF_INET
	}
	return ip, syscall.AF_INET6
}

// protocol/address/port[/scheduler]
func serviceAttribute(words []string) *nl.RtAttr {
	bytes, family := addressOf(words[1])
	number, _ := strconv.Atoi(words[2])
	protocols := map[string]uint16{"tcp": syscall.IPPROTO_TCP, "udp": syscall.IPPROTO_UDP}
	name, mask := "", uint32(0xffffffff)
	if family == syscall.AF_INET6 {
		mask = 128
	}
	if len(words) > 3 {
		name = words[3]
	}
	attribute := nl.NewRtAttr(service, nil)
	nl.NewRtAttrChild(attribute, addressFamily, nl.Uint16Attr(family))
	nl.NewRtAttrChild(attribute, protocol, nl.Uint16Attr(protocols[words[0]]))
	nl.NewRtAttrChild(attribute, address, bytes)
	nl.NewRtAttrChild(attribute, port, bigEndian(uint16(number)))
	nl.NewRtAttrChild(attribute, scheduler, nl.ZeroTerminated(name))
	nl.NewRtAttrChild(attribute, flags, []byte{0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	nl.NewRtAttrChild(attribute, timeout, nl.Uint32Attr(0))
	nl.NewRtAttrChild(attribute, netmask, nl.Uint32Attr(mask))
	return attribute
}

// address/port/weight
func serverAttribute(words []string) *nl.RtAttr {
	bytes, _ := addressOf(words[0])
	number, _ := strconv.Atoi(words[1])
	share := 1
	if len(words) > 2 {
		share, _ = strconv.Atoi(words[2])
	}
	attribute := nl.NewRtAttr(dest, nil)
	nl.NewRtAttrChild(attribute, destAddress, bytes)
	nl.NewRtAttrChild(attribute, destPort, bigEndian(uint16(number)))
	for kind, value := range map[int]uint32{method: 0, weight: uint32(share), upper: 0, lower: 0} {
		nl.NewRtAttrChild(attribute, kind, nl.Uint32Attr(value))
	}
	return attribute
}

func endpoint(family, bytes, port []byte) string {
	number := strconv.Itoa(int(binary.BigEndian.Uint16(port)))
	if nl.NativeEndian().Uint16(family) == syscall.AF_INET {
		bytes = bytes[:4]
	}
	return net.JoinHostPort(net.IP(bytes).String(), number)
}

func (c *client) list() {
	services, err := c.ask(c.family, getService, syscall.NLM_F_DUMP, nl.NewRtAttr(service, nil))
	check(err)
	var lines []string
	for _, answer := range services {
		s := attributes(attributes(answer)[service])
		letter := map[uint16]string{syscall.IPPROTO_TCP: "t", syscall.IPPROTO_UDP: "u"}[nl.NativeEndian().Uint16(s[protocol])]
		name := letter + " " + endpoint(s[addressFamily], s[address], s[port])
		lines = append(lines, "-A -"+name+" -s "+nl.BytesToString(s[scheduler]))
		which := nl.NewRtAttr(service, nil)
		for _, kind := range []uint16{addressFamily, protocol, address, port} {
			nl.NewRtAttrChild(which, int(kind), s[kind])
		}
		servers, err := c.ask(c.family, getDest, syscall.NLM_F_DUMP, which)
		check(err)
		for _, answer := range servers {
			d := attributes(attributes(answer)[dest])
			lines = append(lines, fmt.Sprintf("-a -%s -r %s -m -w %d", name, endpoint(s[addressFamily], d[destAddress], d[destPort]),
				nl.NativeEndian().Uint32(d[weight])))
		}
	}
	sort.Strings(lines)
	for _, line := range lines {
		fmt.Println(line)
	}
}

func (c *client) run(command string) {
	name, values, _ := strings.Cut(command, ":")
	words := strings.Split(values, "/")
	commands := map[string]int{"add-service": newService, "delete-service": deleteService,
		"add-server": newDest, "delete-server": deleteDest, "flush": flushes}
	var wanted []*nl.RtAttr
	switch name {
	case "list":
		c.list()
		return
	case "add-service", "delete-service":
		wanted = append(wanted, serviceAttribute(words))
	case "add-server", "delete-server":
		wanted = append(wanted, serviceAttribute(words[:3]), serverAttribute(words[3:]))
	}
	_, err := c.ask(c.family, commands[name], syscall.NLM_F_ACK, wanted...)
	if err != nil {
		fmt.Fprintln(os.Stderr, command+":", err)
		os.Exit(1)
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

func main() {
	c := connect()
	for _, command := range os.Args[1:] {
		c.run(command)
	}
	c.socket.Close()
}
