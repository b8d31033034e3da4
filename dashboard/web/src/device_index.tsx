// The sections of a device's page: an index that stays in sight, and the section that the address names.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { useQuery } from "./router";

const titles = {
  summary: "Summary",
  charts: "Charts",
  commands: "Commands",
  events: "Events",
  software: "Software",
  hardware: "Hardware",
  identity: "Identity",
  ledger: "Ledger",
  live: "Live",
  audit: "Audit",
};
type Name = keyof typeof titles;

const SETTLE_MS = 3000; // what stands above it is loaded meanwhile
const place = (name: string): HTMLElement | null => document.getElementById(`section-${name}`);

export function Section({ name, children }: { name: Name; children: ComponentChildren }) {
  return <div class="section" id={`section-${name}`} data-section={name}>{children}</div>;
}

export function Index({ audit }: { audit: boolean }) {
  const [section, setSection] = useQuery("section");
  const [seen, setSeen] = useState("summary");
  const nav = useRef<HTMLElement>(null);
  const names = (Object.keys(titles) as Name[]).filter((name) => name !== "audit" || audit);
  useFirst(section);
  // The last whose beginning has come up to the index.
  useEffect(() => {
    let asked = 0;
    const look = () => {
      asked = 0;
      const below = (nav.current?.getBoundingClientRect().bottom ?? 0) + 40;
      const end = innerHeight + scrollY >= document.documentElement.scrollHeight - 2;
      const passed = names.filter((name) => (place(name)?.getBoundingClientRect().top ?? Infinity) <= below);
      setSeen((end && section && names.includes(section as Name) ? section : passed.at(-1)) ?? "summary");
    };
    const soon = () => {
      asked ||= requestAnimationFrame(look);
    };
    addEventListener("scroll", soon, { passive: true });
    look();
    return () => {
      removeEventListener("scroll", soon);
      cancelAnimationFrame(asked);
    };
  }, [section, audit]);
  // In the row of the index, too, where that is wider than the screen.
  useEffect(() => {
    const row = nav.current;
    const link = row?.querySelector<HTMLElement>("[aria-current]");
    if (row && link) row.scrollLeft = link.offsetLeft - (row.clientWidth - link.clientWidth) / 2;
  }, [seen]);
  const go = (event: MouseEvent, name: Name) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    setSection(name === "summary" ? "" : name);
    if (name === "summary") scrollTo(0, 0);
    else place(name)?.scrollIntoView();
  };
  return (
    <nav ref={nav} class="sections" aria-label="Sections">
      {names.map((name) => (
        <a key={name} href={`?section=${name}`} aria-current={name === seen ? "true" : undefined} onClick={(event) => go(event, name)}>
          {titles[name]}
        </a>
      ))}
    </nav>
  );
}

// Goes to the section of the address when the page is opened, and stays there while what is above it takes its size, unless
// the person goes elsewhere.
function useFirst(section: string): void {
  useEffect(() => {
    const target = section && place(section);
    const whole = document.querySelector("main");
    if (!target || !whole) return;
    const observer = new ResizeObserver(() => target.scrollIntoView());
    const end = () => {
      observer.disconnect();
      clearTimeout(timer);
      moves.forEach((name) => removeEventListener(name, end));
    };
    const moves = ["wheel", "pointerdown", "touchstart", "keydown"];
    const timer = setTimeout(end, SETTLE_MS);
    moves.forEach((name) => addEventListener(name, end, { passive: true }));
    observer.observe(whole);
    return end;
  }, []);
}
