// What the API says of exports (docs/protocol.md).
export interface Export {
  id: string;
  kind: string;
  format: string;
  query: string;
  device: string | null;
  state: "queued" | "running" | "done" | "failed" | "cancelled" | "expired";
  cancelling: boolean;
  rows: number;
  estimate: number | null;
  bytes: number;
  truncated: boolean;
  reason: string;
  created_at: string;
  expires_at: string | null;
  file: string | null;
}

export interface ExportKind {
  kind: string;
  by_device: boolean;
  by_time: boolean;
  columns: string[];
}
