/** Where to look for programs: Debian leaves the sbin directories out of an ordinary user's PATH. */
export const systemPath = (): string => `${process.env['PATH'] ?? '/usr/bin:/bin'}:/usr/local/sbin:/usr/sbin:/sbin`
