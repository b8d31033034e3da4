// Saved filters: queries under a name, which everybody can pick and the query language knows as filter:<name>.
import { useEffect, useState } from "preact/hooks";
import { type ApiError, del, get, type Page, post } from "../api";
import { Fault, Icon } from "../parts";
import { Popover } from "./columns";
import { forgetNames } from "./querybox";

interface SavedFilter {
  name: string;
  query: string;
  created_by: string;
}

interface SavedProps {
  query: string; // what is looked at
  pick: (query: string) => void;
  mayChange: boolean;
}

export const SavedFilters = (props: SavedProps) => (
  <Popover label="Saved">{(close) => <List {...props} close={close} />}</Popover>
);

function List({ query, pick, mayChange, close }: SavedProps & { close: () => void }) {
  const [filters, setFilters] = useState<SavedFilter[] | null>(null);
  const [fault, setFault] = useState<ApiError | null>(null);
  const load = () => get<Page<SavedFilter>>("filters", { limit: 500 }).then(({ items }) => setFilters(items), setFault);
  useEffect(() => void load(), []);
  const change = async (done: Promise<unknown>) => {
    setFault(null);
    try {
      await done;
      forgetNames();
      await load();
    } catch (thrown) {
      setFault(thrown as ApiError);
    }
  };
  const save = (event: Event) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    void change(post("filters", { name: String(new FormData(form).get("name")).trim(), query })).then(() => form.reset());
  };
  return (
    <>
      {fault && <Fault error={fault} />}
      {filters?.length === 0 && <p class="muted">None yet. Filter the devices, then save the query here under a name.</p>}
      <ul class="saved-list">
        {filters?.map((filter) => (
          <li key={filter.name}>
            <button type="button" class="plain pick" title={`by ${filter.created_by}`} onClick={() => { pick(filter.query); close(); }}>
              <strong>{filter.name}</strong>
              <code>{filter.query || "everything"}</code>
            </button>
            {mayChange && (
              <button type="button" class="plain" aria-label={`Delete the filter ${filter.name}`}
                onClick={() => void change(del(`filters/${encodeURIComponent(filter.name)}`))}>
                <Icon name="cancelled" />
              </button>
            )}
          </li>
        ))}
      </ul>
      {mayChange && query && (
        <form class="save" onSubmit={save}>
          <label>
            Save <code>{query}</code> as
            <input name="name" required pattern="[a-z0-9][a-z0-9._\-]{0,62}" maxLength={63} autocomplete="off" autocapitalize="none"
              title="small letters, digits, and . _ - behind the first" placeholder="weak-kiosks" />
          </label>
          <button type="submit" class="primary">Save</button>
        </form>
      )}
    </>
  );
}
