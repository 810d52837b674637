/**
 * The configuration of conntrackd(8): which flows exist, told to the other router as it happens. Without it a router that
 * takes over would drop every reply, because its forward chain is strict.
 */
import { conntrackSync, type Router } from './router.ts'

/** Renders conntrackd.conf(5), the same for two routers and for more. */
export function renderConntrackd(router: Router): string {
  const { name, plan, syncLink, syncAddress, paths } = router
  const { socket, lock, log } = paths.conntrackd
  return `# Rendered by router-agent for ${name}; it is replaced whenever the system file changes.

Sync {
    # Said once, to whoever listens. A mode that repeats what was not acknowledged (FTFW) would repeat, when a cut heals,
    # what the router that was cut off deleted meanwhile: every flow, as IPVS lost the gateways there.
    Mode NOTRACK {
        # What the other router says goes straight into the kernel: at a takeover there is nothing left to commit.
        DisableExternalCache on
        # A router that starts asks the other for all that it knows.
        StartupResync on
    }
    Multicast {
        IPv4_address ${conntrackSync.group}
        Group ${conntrackSync.port}
        IPv4_interface ${syncAddress}
        Interface ${syncLink}
        SndSocketBuffer 1249280
        RcvSocketBuffer 1249280
        Checksum on
    }
}

General {
    HashSize 32768
    # Twice what the kernel's table may hold.
    HashLimit 524288
    Systemd off
    LogFile ${log}
    LockFile ${lock}
    UNIX {
        Path ${socket}
    }
    NetlinkBufferSize 2097152
    NetlinkBufferSizeMaxGrowth 8388608
    # By default conntrackd is real-time at 99: a burst of new flows would then keep VRRP from the processor.
    Scheduler {
        Type RR
        Priority 10
    }
    Filter From Userspace {
        Protocol Accept {
            TCP
            UDP
        }
        # Flows of clients and no others: not health checks, not the sync itself.
        Address Accept {
${plan.clientCidrs.map((cidr) => `            IPv4_address ${cidr}`).join('\n')}
        }
    }
}
`
}
