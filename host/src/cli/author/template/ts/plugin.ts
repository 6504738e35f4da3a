// `NAME`: sends one mail.
import { send, type Sent } from 'usher:plugin/email@0.1.0';
import { plugin } from '../vendor/usher/usher.js';

/** As `schema.json` has it. */
interface Payload {
  name: string;
  email: string;
}

export const handler = plugin<Payload>(
  ({ name, email }): Sent =>
    send({
      profile: 'default',
      to: [email],
      subject: 'Welcome',
      text: `Hello, ${name}.`,
      html: null,
      replyTo: null,
      attachments: [],
    }),
);
