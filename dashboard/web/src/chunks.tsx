// The rows of a long table, in bodies of some fifty: those far from the screen keep their height and nothing else, so that
// a table of thousands stays quick. Rows may be of any height, and change it.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

const ROWS = 50;
const NEAR = "1500px 0px"; // above and below the screen

export function Chunks<T>({ items, columns, row }: { items: T[]; columns: number; row: (item: T) => ComponentChildren }) {
  const chunks = [];
  for (let at = 0; at < items.length; at += ROWS) chunks.push(items.slice(at, at + ROWS));
  return <>{chunks.map((chunk, at) => <Chunk key={at} columns={columns} rows={() => chunk.map(row)} />)}</>;
}

function Chunk({ columns, rows }: { columns: number; rows: () => ComponentChildren }) {
  const body = useRef<HTMLTableSectionElement>(null);
  const [height, setHeight] = useState<number | null>(null); // null: near the screen
  useEffect(() => {
    const observer = new IntersectionObserver((entries) => {
      const last = entries.at(-1)!;
      setHeight(last.isIntersecting || last.boundingClientRect.height === 0 ? null : last.boundingClientRect.height);
    }, { rootMargin: NEAR });
    observer.observe(body.current!);
    return () => observer.disconnect();
  }, []);
  return (
    <tbody ref={body}>
      {height === null ? rows() : (
        <tr class="space" aria-hidden="true" style={{ height: `${height}px` }}><td colSpan={columns} /></tr>
      )}
    </tbody>
  );
}
