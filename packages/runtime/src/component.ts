/** Something that an agent starts in order and stops in reverse: a daemon, a server, a watcher, the reconciler. */
export interface Component {
  readonly name: string
  /** Resolves once the component works; rejects with the reason when it cannot. */
  start(signal: AbortSignal): Promise<void>
  /** Resolves once the component has let go of everything; `deadline` aborts when there is no more time. */
  stop(deadline: AbortSignal): Promise<void>
}
