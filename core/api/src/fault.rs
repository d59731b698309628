//! A refusal: a status and a sentence, sent as `{"message": …}`.

use gantry_engine::Error;
use gantry_model::class::Class;
use hyper::StatusCode;

/// What a client is told instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    pub status: StatusCode,
    pub message: String,
}

impl Fault {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Fault {
        Fault { status, message: message.into() }
    }

    /// The request is wrong.
    pub fn bad(message: impl Into<String>) -> Fault {
        Fault::new(StatusCode::BAD_REQUEST, message)
    }

    /// There is no such thing.
    pub fn missing(message: impl Into<String>) -> Fault {
        Fault::new(StatusCode::NOT_FOUND, message)
    }

    /// Docker has it, we do not.
    pub fn unsupported(message: impl Into<String>) -> Fault {
        Fault::new(StatusCode::NOT_IMPLEMENTED, message)
    }

    /// The socket is for looking only.
    pub fn read_only() -> Fault {
        Fault::new(StatusCode::FORBIDDEN, "this socket is for reading only")
    }

    /// Something of ours failed.
    pub fn internal(message: impl Into<String>) -> Fault {
        Fault::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// An error of a request that names things: 404 would send clients to fetch the image, so it is kept for images.
    pub fn of_request(error: Error) -> Fault {
        let image = matches!(&error, Error::Image(error) if error.lacks_image());
        let mut fault = Fault::from(error);
        if fault.status == StatusCode::NOT_FOUND && !image {
            fault.status = StatusCode::BAD_REQUEST;
        }
        fault
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        let class = error.class();
        let status = StatusCode::from_u16(class.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let text = gantry_engine::sentence(&error);
        let message = match error.hint().filter(|_| class != Class::NotFound) {
            Some(hint) if !text.contains(&hint) => format!("{text} ({hint})"),
            _ => text,
        };
        Fault { status, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_become_statuses() {
        for (class, status) in
            [(Class::NotFound, 404), (Class::InUse, 409), (Class::Invalid, 400), (Class::Unsupported, 501)]
        {
            assert_eq!(Fault::from(Error::request(class, "x")).status, status);
        }
        assert_eq!(Fault::of_request(Error::request(Class::NotFound, "no such driver")).status, 400);
        let hinted = Error::invalid("bad").with_hint("do better");
        assert_eq!(Fault::from(hinted).message, "bad (do better)");
    }
}
