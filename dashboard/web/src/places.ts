// What each place of the navigation is drawn with, and the letter that leads there after "g". A view that is not in
// views.ts is not shown.
export interface Place {
  path: string; // drawn on 16 x 16, stroked
  letter: string;
}

export const places: { [link: string]: Place } = {
  "/": { letter: "o", path: "M2.5 2.5h4v3.2h-4zM2.5 8.7h4v4.8h-4zM9.5 2.5h4v4.8h-4zM9.5 10.3h4v3.2h-4z" },
  "/devices": { letter: "d", path: "M1.8 3h8v6.2h-8zM3.8 12.6h3.4M5.6 9.2v3.4M11.4 6h2.8v7.4h-2.8z" },
  "/groups": { letter: "g", path: "M2 3.6h4.4l1.4 1.8H14v7.4H2z" },
  "/commands": { letter: "c", path: "M2.2 3h11.6v10H2.2zM4.8 6.2 6.8 8l-2 1.8M8.6 10h2.6" },
  "/campaigns": { letter: "p", path: "M2.6 6.4v3.2l2.4.2V6.2zM5 6.2 12.6 3v10L5 9.8M6.2 10.4l.8 3" },
  "/console": { letter: "l", path: "M1.8 8h2.6l1.8-4.8 3.2 9.6L11.4 8h2.8" },
  "/alerts": { letter: "a", path: "M4.2 10.8V7.2a3.8 3.8 0 0 1 7.6 0v3.6l1.2 1.6H3l1.2-1.6ZM6.8 14.2h2.4" },
  "/events": { letter: "e", path: "M5.8 4h7.8M5.8 8h7.8M5.8 12h7.8M2.6 4h.01M2.6 8h.01M2.6 12h.01" },
  "/analytics": { letter: "n", path: "M2.4 2.4v11.2h11.2M5 10.4l2.6-3.6L10 8.6l3.2-4.4" },
  "/exports": { letter: "x", path: "M8 2.2v7.6M5 7l3 3 3-3M2.6 11.2v2.6h10.8v-2.6" },
  "/enrolment": { letter: "t", path: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8ZM8 5.2v5.6M5.2 8h5.6" },
  "/certificates": { letter: "f", path: "M8 1.8 13 3.6v4c0 3.2-2.2 5.4-5 6.6-2.8-1.2-5-3.4-5-6.6v-4L8 1.8ZM5.8 7.8l1.6 1.6 2.8-3" },
  "/users": { letter: "u", path: "M6 7.4a2.4 2.4 0 1 0 0-4.8 2.4 2.4 0 0 0 0 4.8ZM1.8 13.4c.3-2.4 2-3.8 4.2-3.8s3.9 1.4 4.2 3.8M10.6 2.8a2.4 2.4 0 0 1 0 4.4M12 9.8c1.3.6 2 1.8 2.2 3.6" },
  "/system": { letter: "s", path: "M2.4 2.8h11.2v4.4H2.4zM2.4 8.8h11.2v4.4H2.4zM4.8 5h.01M4.8 11h.01" },
  "/audit": { letter: "i", path: "M3.8 1.8h5.8L12.4 5v9.2H3.8zM6 7.6h4.2M6 10.4h4.2" },
  "/account": { letter: "m", path: "M8 8a2.6 2.6 0 1 0 0-5.2A2.6 2.6 0 0 0 8 8ZM3 13.8c.5-2.6 2.4-3.8 5-3.8s4.5 1.2 5 3.8" },
  "/api/docs": { letter: "h", path: "M3 2.4h8.4A1.6 1.6 0 0 1 13 4v9.6H4.6A1.6 1.6 0 0 1 3 12zM3 12a1.6 1.6 0 0 1 1.6-1.6H13" },
};
