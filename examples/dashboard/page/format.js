// Owns: how times and values are written for people, in the viewer's own zone and
// language. Must not: touch the document.

const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
const clock = (options) => new Intl.DateTimeFormat(undefined, { hourCycle: "h23", ...options });
const minutes = clock({ hour: "2-digit", minute: "2-digit" });
const seconds = clock({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const whole = clock({ month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });

const date = (epoch) => new Date(epoch * 1000);

export const time = (epoch) => seconds.format(date(epoch));
export const moment = (epoch) => whole.format(date(epoch));

// "Asia/Taipei (GMT+8)"
export function zone() {
  const parts = clock({ timeZoneName: "shortOffset" }).formatToParts(new Date());
  return `${timeZone} (${parts.find(({ type }) => type === "timeZoneName").value})`;
}

// A tick of the time axis: the day at midnight, else the time.
export function tick(epoch, step) {
  const at = date(epoch);
  if (at.getHours() + at.getMinutes() + at.getSeconds() === 0) return day.format(at);
  return (step < 60 ? seconds : minutes).format(at);
}

// Values that are small beside their unit keep their first digits.
export function value(number, digits) {
  if (number == null) return "–";
  if (number !== 0 && Math.abs(number) < 10 ** -digits) {
    return number.toLocaleString(undefined, { maximumSignificantDigits: 2 });
  }
  return number.toLocaleString(undefined, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export const axis = (number) => (Math.abs(number) >= 10_000 ? compact.format(number) : String(number));

export function ago(length) {
  if (length < 90) return `${Math.round(length)} s ago`;
  return length < 5400 ? `${Math.round(length / 60)} min ago` : `${Math.round(length / 3600)} h ago`;
}
