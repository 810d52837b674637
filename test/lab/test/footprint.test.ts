import { expect, it } from 'vitest'
import { countObjects } from '../src/footprint.ts'

it('counts rules of all filters, routes, policies and links', () => {
  const text = `# Warning: table ip filter is managed by iptables-nft, do not touch!
table ip filter { # handle 1
	chain VG-INPUT { # handle 4
		iifname "net1" counter packets 0 bytes 0 jump VG-CLIENTS # handle 9
		iifname { "net1", "net2" } counter packets 7 bytes 8 drop # handle 10
	}
	chain INPUT { # handle 1
		type filter hook input priority filter; policy drop;
	}
}
==
default via 10.42.0.1 dev eth0
default proto 152 scope link table 153
	nexthop via 192.168.50.248 dev net1 weight 100
	nexthop via 192.168.50.249 dev net1 weight 100
local default dev lo table 152 proto 152 scope host
local 10.42.0.13 dev eth0 table local proto kernel scope host src 10.42.0.13
broadcast 10.42.255.255 dev eth0 table local proto kernel scope link src 10.42.0.13
==
0:	from all lookup local
32766:	from all lookup main
==
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536
2: eth0@if101: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500
`
  expect(countObjects(text)).toEqual({ rules: 2, routes: 5, policies: 2, links: 2 })
})
