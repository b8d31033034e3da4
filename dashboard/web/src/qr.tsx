// A QR code (ISO/IEC 18004) as an image; what draws it is loaded when the first is looked at.
import { useEffect, useState } from "preact/hooks";

interface Drawn {
  size: number; // modules a side, with the quiet zone
  path: string;
}

const QUIET = 4; // modules that must stay light around it

async function draw(text: string): Promise<Drawn> {
  const { encode } = await import("uqr");
  const { data, size } = encode(text, { ecc: "M", border: QUIET });
  const runs = data.flatMap((row, y) => row.flatMap((dark, x) => (dark ? [`M${x} ${y}h1v1h-1z`] : [])));
  return { size, path: runs.join("") };
}

// label: what is in it, for those who cannot see it.
export function Qr({ text, label }: { text: string; label: string }) {
  const [drawn, setDrawn] = useState<Drawn | null>(null);
  useEffect(() => {
    let current = true;
    draw(text).then((done) => current && setDrawn(done), () => current && setDrawn(null));
    return () => {
      current = false;
    };
  }, [text]);
  if (!drawn) return <div class="qr" />;
  return (
    <svg class="qr" viewBox={`0 0 ${drawn.size} ${drawn.size}`} role="img" aria-label={label} shape-rendering="crispEdges">
      <rect width={drawn.size} height={drawn.size} fill="#fff" />
      <path d={drawn.path} fill="#000" />
    </svg>
  );
}
