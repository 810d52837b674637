/** nftables that stand for a switch whose port drops frames, as text for nft(8). */

/** Takes a table away; `add` before `delete` makes the deletion of one that may not exist no error (nft(8)). */
export const removeTable = (name: string): string => `add table bridge ${name}\ndelete table bridge ${name}\n`

/** Drops at the port itself, so that the bridge does not even learn from the frames; all of them, or so many of a hundred. */
export function cutTable(name: string, port: string, percent = 100): string {
  const drop = percent < 100 ? `numgen random mod 100 < ${percent} drop` : 'drop'
  return `${removeTable(name)}table bridge ${name} {
  chain in {
    type filter hook prerouting priority -350; policy accept;
    iifname "${port}" ${drop}
  }
  chain out {
    type filter hook postrouting priority 350; policy accept;
    oifname "${port}" ${drop}
  }
}
`
}
