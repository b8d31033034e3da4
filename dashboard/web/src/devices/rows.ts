// The rows of a list that is longer than anybody loads: its pages are fetched as they come into view, and what is shown is
// kept right by live changes. A row keeps its place until the list is asked for anew.
import { ApiError, type Device, get, type Page, type Query } from "../api";

export const PAGE = 100;
const PAGES_KEPT = 60;
const SETTLE_MS = 70; // while somebody drags the scroll bar nothing is fetched
const FIELDS =
  "device,display_name,tags,enabled,status,why,last_seen,stale_at,agent_version,enrolled_at,changed_at,latest";

export type Row = Pick<Device, "device" | "display_name" | "tags" | "enabled" | "status" | "why" | "last_seen" | "stale_at" |
  "agent_version" | "changed_at" | "latest"> & { enrolled_at: string | null };

export interface Question {
  query: string;
  status: string;
  sort: string;
}

export interface Counts {
  count: number;
  by_status: Record<"all" | "online" | "stale" | "offline" | "never" | "revoked", number>;
  marks: string[] | null; // cursors: behind the first page, the second, ...
}

// What the server is asked, as the list's parameters.
const asked = ({ query, status, sort }: Question): Query => ({ query, status, sort });

export class Rows {
  counts: Counts | null = null;
  error: ApiError | null = null;
  private readonly pages = new Map<number, Page<Row>>();
  private readonly loading = new Map<number, AbortController>();
  private marks: Promise<string[]> | null = null;
  private visible: [number, number] = [0, 0]; // pages
  private timer = 0;
  private ended = false;

  constructor(
    readonly question: Question,
    private readonly changed: () => void,
  ) {
    void this.ask();
    void this.fetch(0);
  }

  end(): void {
    this.ended = true;
    clearTimeout(this.timer);
    for (const abort of this.loading.values()) abort.abort();
  }

  // How many rows there are to scroll over.
  get length(): number {
    const first = this.pages.get(0);
    if (first && first.next === null) return first.items.length;
    return this.counts?.count ?? first?.items.length ?? 0;
  }

  get known(): boolean {
    return this.pages.has(0);
  }

  at(index: number): Row | undefined {
    return this.pages.get(Math.floor(index / PAGE))?.items[index % PAGE];
  }

  // Those in view that are there.
  ids(from: number, to: number): string[] {
    const found: string[] = [];
    for (let i = from; i < to; i++) {
      const row = this.at(i);
      if (row) found.push(row.device);
    }
    return found;
  }

  // Rows from (included) to (not) are looked at: fetches what of them is missing.
  show(from: number, to: number): void {
    this.visible = [Math.floor(from / PAGE), Math.floor(Math.max(from, to - 1) / PAGE)];
    for (const [page, abort] of this.loading) {
      if (page < this.visible[0] || page > this.visible[1]) abort.abort();
    }
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => {
      for (let page = this.visible[0]; page <= this.visible[1]; page++) {
        if (!this.pages.has(page) && page * PAGE < this.length) void this.fetch(page);
      }
    }, SETTLE_MS);
  }

  // Fetches rows that are not in view; fewer when the list ends.
  async range(from: number, to: number): Promise<string[]> {
    for (let page = Math.floor(from / PAGE); page * PAGE < to; page++) if (!this.pages.has(page)) await this.fetch(page);
    return this.ids(from, to);
  }

  // The list may have others, or in another order, than it had.
  refresh(): void {
    this.marks = null;
    for (const page of [...this.pages.keys()]) if (page < this.visible[0] || page > this.visible[1]) this.pages.delete(page);
    void this.ask();
    void this.fetchAgain();
  }

  merge(devices: Device[]): boolean {
    const news = new Map(devices.map((device) => [device.device, device]));
    for (const page of this.pages.values()) {
      page.items = page.items.map((row) => {
        const device = news.get(row.device);
        news.delete(row.device);
        return device ? { ...row, ...device } : row;
      });
    }
    this.changed();
    return news.size > 0;
  }

  // Whether there are others than before.
  async ask(): Promise<boolean> {
    try {
      const counts = await get<Counts>("devices/count", asked(this.question));
      if (this.ended) return false;
      const other = this.counts !== null && JSON.stringify(this.counts) !== JSON.stringify(counts);
      this.counts = counts;
      this.changed();
      return other;
    } catch (thrown) {
      this.fail(thrown);
      return false;
    }
  }

  private async fetchAgain(): Promise<void> {
    for (let page = this.visible[0]; page <= this.visible[1]; page++) await this.fetch(page);
  }

  private fail(thrown: unknown): void {
    if (this.ended) return;
    this.error = thrown instanceof ApiError ? thrown : new ApiError(0, String(thrown));
    this.changed();
  }

  private async cursor(page: number): Promise<string | null | undefined> {
    if (page === 0) return null;
    const before = this.pages.get(page - 1);
    if (before) return before.next ?? undefined;
    this.marks ??= get<Counts>("devices/count", { ...asked(this.question), marks: PAGE }).then(({ marks }) => marks ?? []);
    try {
      return (await this.marks)[page - 1];
    } catch (thrown) {
      this.marks = null;
      throw thrown;
    }
  }

  private async fetch(page: number): Promise<void> {
    this.loading.get(page)?.abort();
    const abort = new AbortController();
    this.loading.set(page, abort);
    try {
      const after = await this.cursor(page);
      if (after === undefined || abort.signal.aborted) return;
      const found = await get<Page<Row>>("devices", { ...asked(this.question), limit: PAGE, after, fields: FIELDS }, abort.signal);
      if (this.ended || abort.signal.aborted) return;
      this.pages.set(page, found);
      this.error = null;
      this.forget(page);
      this.changed();
    } catch (thrown) {
      if (!abort.signal.aborted) this.fail(thrown);
    } finally {
      if (this.loading.get(page) === abort) this.loading.delete(page);
    }
  }

  // The pages furthest from the one that was just fetched make room.
  private forget(here: number): void {
    while (this.pages.size > PAGES_KEPT) {
      const far = [...this.pages.keys()].filter((page) => page > 0)
        .reduce((a, b) => (Math.abs(b - here) > Math.abs(a - here) ? b : a));
      this.pages.delete(far);
    }
  }
}
