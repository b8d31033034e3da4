// The page's views: where they stand, who sees them, and the file each is loaded from when it is first looked at.
import type { ComponentType } from "preact";
import type { Session } from "./api";

export interface ViewProps {
  who: Session;
  args: string[]; // what the path's pattern captured, decoded
}

type Role = Session["role"];
const ALL: Role[] = ["viewer", "operator", "administrator", "auditor"];

export interface View {
  path: RegExp;
  title: string; // with the first of args instead, when there is one
  roles: Role[]; // who finds it in the navigation; the API decides what they get
  load: () => Promise<{ default: ComponentType<ViewProps> }>;
  link?: string; // stands in the navigation; places.ts has its picture and letter
  installation?: boolean; // only for people of all tenants
  group?: Group; // under this heading there; without one, in the person's own menu
}

export const groups = ["Fleet", "Watch", "Access", "System"] as const;
export type Group = (typeof groups)[number];

// In the order of the navigation, each view under its heading.
export const views: View[] = [
  // Fleet
  { path: /^\/$/, title: "Overview", roles: ALL, link: "/", group: "Fleet", load: () => import("./overview") },
  { path: /^\/devices$/, title: "Devices", roles: ALL, link: "/devices", group: "Fleet", load: () => import("./devices") },
  { path: /^\/devices\/([^/]+)$/, title: "Device", roles: ALL, load: () => import("./device") },
  { path: /^\/groups$/, title: "Groups", roles: ALL, link: "/groups", group: "Fleet", load: () => import("./groups") },
  { path: /^\/groups\/([^/]+)$/, title: "Group", roles: ALL, load: () => import("./group") },
  { path: /^\/commands$/, title: "Commands", roles: ALL, link: "/commands", group: "Fleet", load: () => import("./commands") },
  { path: /^\/commands\/([^/]+)$/, title: "Command", roles: ALL, load: () => import("./command") },
  { path: /^\/campaigns$/, title: "Campaigns", roles: ALL, link: "/campaigns", group: "Fleet", load: () => import("./campaigns") },
  { path: /^\/campaigns\/(\d+)$/, title: "Campaign", roles: ALL, load: () => import("./campaign") },
  { path: /^\/console$/, title: "Console", roles: ALL, link: "/console", group: "Fleet", load: () => import("./console") },

  // Watch
  { path: /^\/alerts$/, title: "Alerts", roles: ALL, link: "/alerts", group: "Watch", load: () => import("./alerts") },
  { path: /^\/alerts\/(\d+)$/, title: "Alert", roles: ALL, load: () => import("./alert") },
  { path: /^\/events$/, title: "Events", roles: ALL, link: "/events", group: "Watch", load: () => import("./events") },
  { path: /^\/analytics$/, title: "Analytics", roles: ALL, link: "/analytics", group: "Watch", load: () => import("./analytics") },
  { path: /^\/exports$/, title: "Exports", roles: ALL, link: "/exports", group: "Watch", load: () => import("./exports") },

  // Access
  { path: /^\/enrolment$/, title: "Enrolment", roles: ALL, link: "/enrolment", group: "Access", load: () => import("./enrolment") },
  { path: /^\/certificates$/, title: "Certificates", roles: ALL, link: "/certificates", group: "Access", load: () => import("./certificates") },

  {
    path: /^\/users$/, title: "Users", roles: ["administrator"], link: "/users", group: "Access", load: () => import("./users"),
  },

  // System
  {
    path: /^\/audit$/, title: "Audit", roles: ["administrator", "auditor"], link: "/audit", group: "System",
    load: () => import("./audit"),
  },
  {
    path: /^\/system$/, title: "System", roles: ["administrator", "auditor"], installation: true, link: "/system", group: "System",
    load: () => import("./system"),
  },

  // The person's own
  { path: /^\/account$/, title: "Account", roles: ALL, link: "/account", load: () => import("./account") },
  { path: /^\/api\/docs$/, title: "API", roles: ALL, link: "/api/docs", load: () => import("./docs") },
];

export interface Found {
  view: View;
  args: string[];
}

export function findView(path: string): Found | null {
  for (const view of views) {
    const match = view.path.exec(path);
    if (match) return { view, args: match.slice(1).map(decodeURIComponent) };
  }
  return null;
}
