/** What `--help` says, of the program and of each command; no line is longer than 80 characters. */
import type { CommandName } from './command-line.ts'

export const programHelp = `usage: vpn-gateway COMMAND [OPTION]…

One file describes the system: networks, address ranges, the virtual IP, MTUs,
forwarded ports. This program says what is wrong with it, and makes the
Kubernetes manifests from it.

  check FILE          all that is wrong with a system file; if nothing, its plan
  render FILE         all manifests
  plan --agent NAME FILE
                      what an agent would change on this machine
  status              a running system on one screen
  completion SHELL    completion for bash, zsh or fish

  --help, --version    (vpn-gateway COMMAND --help says more)

First steps:

  vpn-gateway check vpn-gateway.yaml --tunnels tunnels
  vpn-gateway render vpn-gateway.yaml --output manifests
  kubectl apply -k manifests
  kubectl -n vpn-gateway create secret generic tunnels --from-file=tunnels
  kubectl -n vpn-gateway exec gateway-0 -- vpn-gateway status

Exit codes: 0 done, 1 failed, 2 wrong input.`

export const commandHelp: Record<CommandName, string> = {
  check: `usage: vpn-gateway check FILE [OPTION]…

Says everything that is wrong with a system file at once, one line each with the
field and what was expected, and warns of what is allowed but seldom meant.
Where nothing is wrong it prints the address plan.

  --cluster-cidr CIDR
        a network of the cluster's services or pods, given once for each:
        one outside the intranet is warned of, since client pods would look for
        it on the internet, and one of IPv6, since it bypasses the tunnels
  --tunnels DIR
        the providers' files, gateway-0.conf and so on: each is read, and one
        that is missing for a gateway is named
  --gateways N
        how many gateway pods there will be (see render)

Example:

  vpn-gateway check vpn-gateway.yaml \\
    --cluster-cidr 10.96.0.0/12 --cluster-cidr 10.244.0.0/16

Exit codes: 0 right, with or without warnings; 2 wrong input.`,
  render: `usage: vpn-gateway render FILE [OPTION]…

Makes all manifests from a system file: namespace, service accounts, network
attachments, the file itself as a ConfigMap, network policies, the agents'
workloads. The same file always gives the same bytes. They go to standard
output, ready for kubectl apply -f -, or into a directory.

  --output DIR
        write a kustomization and its files there; files of your own stay
  --monitoring
        only what has the system watched, a kustomize component: PodMonitor,
        alert rules, dashboard (needs the Prometheus operator)
  --gateways N
        gateway pods, each with a tunnel of its own, at most as many as
        gatewayNetwork.gateways has addresses (default 3; 1 without routers)

Each gateway pod reads its provider's wg-quick file from the Secret "tunnels":
gateway-0.conf, gateway-1.conf and so on. The Secret is not rendered: keys do
not belong with files that are kept and shown.

Images are named vpn-gateway/AGENT:VERSION. To have them from a registry, name
it in a kustomization of yours: images, newName.

Exit codes: 0 done, 1 could not write, 2 wrong input.`,
  plan: `usage: vpn-gateway plan --agent AGENT [OPTION]… FILE

Says what an agent would change on this machine if it were started here now, one
line a step in their order: + comes, - goes, ~ changes. It reads the kernel as
the agent does, in this network namespace, and changes nothing. What somebody
else owns and the agent would leave alone is said on standard error.

  --agent AGENT
        node, gateway or router
  --name NAME
        the node or pod that this would be (default: this machine's name)
  --interface LINK, --primary LINK, --router-interface LINK
        as the agents of pods have them (default net1, eth0, net2)
  --tunnel FILE
        the provider's file; a gateway needs it
  --forwards-file FILE
        where a running gateway has written its leased ports, which are part of
        the plan (default /run/vpn-gateway/forwards.json)

Peers that have to be asked for, and host names of endpoints, are not asked for:
what the kernel has of them stays in the plan.

Examples, on a node and in a gateway's pod:

  vpn-gateway plan --agent node vpn-gateway.yaml
  vpn-gateway plan --agent gateway --tunnel /etc/wireguard/gateway-0.conf \\
    /etc/vpn-gateway/vpn-gateway.yaml

Exit codes: 0 said, also when there is something to change; 1 could not read the
kernel, 2 wrong input, or a machine that the agent would refuse.`,
  status: `usage: vpn-gateway status [OPTION]…

Asks the agents of a running system and shows it on one screen: tunnels, exits
and health, who has the virtual IP, sync between the routers, flows by gateway,
the nodes' links, and everything that is wrong.

In a pod of the cluster it finds the agents by the names of their Services; the
images have this program:

  kubectl -n vpn-gateway exec gateway-0 -- vpn-gateway status

  --agent URL
        ask this one, given once for each, instead of looking for them;
        http://HOST:PORT with port 9801 (gateway), 9802 (router), 9803 (node)
  --json
        all answers as they were given
  --timeout SECONDS
        that an agent may take to answer (default 3)

Exit codes: 0 all ready, 1 some not or no agent found, 2 wrong input.`,
  completion: `usage: vpn-gateway completion SHELL

Prints a script with which bash, zsh or fish completes commands, options and
their values.

  source <(vpn-gateway completion bash)      in ~/.bashrc
  source <(vpn-gateway completion zsh)       in ~/.zshrc, after compinit
  vpn-gateway completion fish | source       in ~/.config/fish/config.fish

Exit codes: 0 printed, 2 wrong input.`,
}
